"""Why vLLM ended, told from what it really wrote (tests/runtime/provoke*.py); the rest, from sources."""

import json
import re
from pathlib import Path

import pytest
from mlservice_runtime.failures import TABLE, Cause, causes, termination_message
from mlservice_runtime.progress import Phase

ROOT = Path(__file__).parents[2]
OUTPUTS = ROOT / "tests" / "runtime" / "outputs"
FOUND = {
    "unknown_argument": (Cause.BAD_ARGUMENTS, "unrecognized arguments: --max-model-length=5"),
    "bad_choice": (Cause.BAD_ARGUMENTS, "invalid choice: 'float7'"),
    "bad_value": (Cause.BAD_ARGUMENTS, "max_num_batched_tokens (16) must be greater"),
    "bad_tool_parser": (Cause.BAD_ARGUMENTS, "invalid tool call parser: none-such"),
    "quantization_unknown": (Cause.BAD_ARGUMENTS, "Unknown quantization method: magic"),
    "context_beyond_model": (Cause.BAD_ARGUMENTS, "User-specified max_model_len (100000)"),
    "port_taken": (Cause.PORT_TAKEN, "Address already in use"),
    "no_model": (Cause.MODEL_NOT_FOUND, "'/tmp/run/model'"),
    "no_config": (Cause.MODEL_NOT_FOUND, "'/tmp/run/model'"),
    "config_cut": (Cause.CONFIG_BROKEN, "/tmp/run/model/config.json"),
    "architecture_unknown": (Cause.ARCHITECTURE_UNKNOWN, "falcon_moon"),
    "architecture_unsupported": (Cause.ARCHITECTURE_UNKNOWN, "LlamaForTimeTravel"),
    "code_needed": (Cause.CODE_NOT_TRUSTED, "contains custom code"),
    "no_tokenizer": (Cause.TOKENIZER_BROKEN, "Couldn't instantiate the backend tokenizer"),
    "no_weights": (Cause.WEIGHTS_MISSING, "Cannot find any model weights"),
    "shard_missing": (Cause.SHARD_MISSING, "model"),
    "shard_cut": (Cause.SHARD_BROKEN, "incomplete metadata"),
    "shard_empty": (Cause.SHARD_BROKEN, "header"),
    "shard_header_cut": (Cause.SHARD_BROKEN, "header"),
    "git_lfs_pointer": (Cause.SHARD_BROKEN, "header"),
    "other_shape": (Cause.WEIGHTS_MISMATCH, ""),
    "context_too_long": (Cause.CONTEXT_TOO_LONG, "4096"),
    "no_memory_for_cache": (Cause.OUT_OF_MEMORY, "memory"),
    "memory_fraction": (Cause.OUT_OF_MEMORY, "Available memory on node"),
    "shm_too_small": (Cause.SHM_TOO_SMALL, ""),
    "gpu_missing": (Cause.GPU_MISSING, "out of bounds for 0 devices"),
    "gpu_unknown": (Cause.GPU_MISSING, "NVMLError_InvalidArgument"),
    "gpu_absent": (Cause.GPU_MISSING, "Failed to infer device type"),
    "gpu_too_few": (Cause.GPU_MISSING, "World size (8) is larger than the number of available GPUs (1)"),
    "gpu_cache_too_small": (Cause.CACHE_TOO_SMALL, "No available memory for the cache blocks"),
    "gpu_busy": (Cause.GPU_BUSY, "Free memory on device cuda:0"),
    "gpu_out_of_memory": (Cause.GPU_OUT_OF_MEMORY, "CUDA out of memory"),
    "gpu_context_too_long": (Cause.CONTEXT_TOO_LONG, "max seq len (4096)"),
    "disk_full": (Cause.DISK_FULL, "No space left on device"),
    "process_killed": (Cause.PROCESS_KILLED, "VllmWorker-0 died unexpectedly (exit code: -9)"),
    "cache_read_only": (Cause.FOLDER_NOT_WRITABLE, "Read-only file system"),
}
QUOTED = {
    # torch 2.11, c10/cuda/CUDAFunctions.cpp and torch/csrc/cuda/Module.cpp
    "RuntimeError: The NVIDIA driver on your system is too old (found version 12040). Please update your GPU driver": (
        Cause.DRIVER_TOO_OLD
    ),
    "RuntimeError: No CUDA GPUs are available": Cause.GPU_MISSING,
    # ours, listeners.py
    "Port 8001 cannot be used: Address already in use. Set MLSERVICE_RUNTIME_GRPC_PORT to another port": (
        Cause.PORT_TAKEN
    ),
}


def told(lines: list[str], status: int = 1) -> dict[str, object]:
    message = termination_message(causes(lines), Phase.STARTING, status)
    assert "\n" not in message
    assert len(message.encode()) <= 4096
    found: dict[str, object] = json.loads(message)
    return found


@pytest.mark.parametrize("case", FOUND)
def test_what_vllm_wrote_is_told_in_plain_words(case: str) -> None:
    *lines, last = (OUTPUTS / f"{case}.txt").read_text().splitlines()
    status = int(re.fullmatch(r"\[exit status (\d+)\]", last).group(1))  # type: ignore[union-attr]
    found = told(lines, status)
    cause, part = FOUND[case]
    assert (found["reason"], found["exitCode"]) == (cause, status)
    assert part in str(found["line"])
    assert found["line"] == "" or any(str(found["line"]) in line[:9999] for line in lines)


def test_every_output_is_tested() -> None:
    assert {file.stem for file in OUTPUTS.glob("*.txt")} == set(FOUND)


@pytest.mark.parametrize("line", QUOTED, ids=lambda line: line[:40])
def test_what_was_not_provoked(line: str) -> None:
    assert told([line])["reason"] == QUOTED[line]


def test_every_row_of_the_table_is_tested_and_every_cause_documented() -> None:
    tested = {cause for cause, _ in FOUND.values()} | set(QUOTED.values())
    assert {row.cause for row in TABLE} <= tested
    documented = set(re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "startup.md").read_text(), re.M))
    assert set(Cause) <= documented


def test_an_unknown_error_is_quoted_and_what_follows_from_it_is_not() -> None:
    lines = ["ERROR 11-24 17:29:24 [core.py:1] ZeroDivisionError: division by zero"]
    lines += ["RuntimeError: Engine core initialization failed. See root cause above."]
    found = told([*lines, "Worker proc VllmWorker-0 died unexpectedly, shutting down executor."])
    assert (found["reason"], found["line"]) == (Cause.UNKNOWN, "ZeroDivisionError: division by zero")


def test_a_signal_without_a_word_has_a_cause_too() -> None:
    assert told([], 128 + 7)["reason"] == Cause.SHM_TOO_SMALL
    assert told([], 128 + 9)["reason"] == Cause.PROCESS_KILLED
    stopped = json.loads(
        termination_message(causes(["KeyboardInterrupt: terminated"]), Phase.STARTING, 1, stopped=True)
    )
    assert stopped["reason"] == Cause.STOPPED
