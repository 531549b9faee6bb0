"""Why vLLM ended: a table of what it writes in each case, and what to do then.

The texts are those of vLLM 0.26 to 0.33 and of the libraries below it. Each row is tested on real output
(tests/runtime/outputs, made by provoke.py and provoke_gpu.py there); DRIVER_TOO_OLD on torch's source.
"""

import json
import re
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

LINE_LIMIT = 600
"""Characters of a quoted line; the kubelet keeps 4096 bytes of a termination message."""


class Cause(StrEnum):
    """The stable word for a cause; docs/runtime.md has a row for each."""

    BAD_ARGUMENTS = "BadArguments"
    PORT_TAKEN = "PortTaken"
    MODEL_NOT_FOUND = "ModelNotFound"
    CONFIG_BROKEN = "ConfigBroken"
    CODE_NOT_TRUSTED = "CodeNotTrusted"
    ARCHITECTURE_UNKNOWN = "ArchitectureUnknown"
    TOKENIZER_BROKEN = "TokenizerBroken"
    WEIGHTS_MISSING = "WeightsMissing"
    SHARD_MISSING = "ShardMissing"
    SHARD_BROKEN = "ShardBroken"
    WEIGHTS_MISMATCH = "WeightsMismatch"
    CONTEXT_TOO_LONG = "ContextTooLong"
    CACHE_TOO_SMALL = "CacheTooSmall"
    OUT_OF_MEMORY = "OutOfMemory"
    GPU_OUT_OF_MEMORY = "GPUOutOfMemory"
    GPU_BUSY = "GPUBusy"
    GPU_MISSING = "GPUMissing"
    DRIVER_TOO_OLD = "DriverTooOld"
    SHM_TOO_SMALL = "ShmTooSmall"
    DISK_FULL = "DiskFull"
    FOLDER_NOT_WRITABLE = "FolderNotWritable"
    PROCESS_KILLED = "ProcessKilled"
    STOPPED = "Stopped"
    UNKNOWN = "Unknown"


@dataclass(frozen=True)
class Signature:
    """A line that shows a cause, and what is wrong and to be done in plain words."""

    cause: Cause
    pattern: re.Pattern[str]
    words: str


def signature(cause: Cause, pattern: str, words: str) -> Signature:
    return Signature(cause, re.compile(pattern), words)


TABLE: tuple[Signature, ...] = (
    signature(
        Cause.SHM_TOO_SMALL,
        r"Insufficient space in /dev/shm|No space left on device.*/dev/shm|/dev/shm.*No space left on device"
        r"|[Bb]us error.*shared memory|insufficient shared memory",
        "the folder /dev/shm is too small: mount an emptyDir with medium: Memory there, of 1Gi for one process and of "
        "8Gi or more for several GPUs",
    ),
    signature(
        Cause.DRIVER_TOO_OLD,
        r"NVIDIA driver on your system is too old|CUDA driver version is insufficient|unsupported display driver",
        "the node's NVIDIA driver is too old for the CUDA of this image: use a node with a newer driver, or an image "
        "made for an older CUDA",
    ),
    signature(
        Cause.GPU_MISSING,
        r"No CUDA GPUs are available|Found no NVIDIA driver|no CUDA-capable device|Failed to infer device type"
        r"|Device string must not be empty|out of bounds for 0 devices|NVMLError_(InvalidArgument|NotFound)",
        "no GPU is visible in the container: ask for nvidia.com/gpu in the limits, and see that the node's device "
        "plugin works",
    ),
    signature(
        Cause.GPU_MISSING,
        r"World size \(\d+\) is larger than the number of available GPUs",
        "the container has fewer GPUs than --tensor-parallel-size and --pipeline-parallel-size ask for: raise "
        "nvidia.com/gpu in the limits, or lower these",
    ),
    signature(
        Cause.GPU_BUSY,
        r"Free memory on device .* is less than desired GPU memory utilization",
        "another process holds memory of this GPU: wait until it has ended, or lower --gpu-memory-utilization",
    ),
    signature(
        Cause.GPU_OUT_OF_MEMORY,
        r"CUDA out of memory|CUDA error: out of memory|OutOfMemoryError: HIP out of memory",
        "the GPU's memory is too small for the model and what runs beside it: take a larger GPU or more of them "
        "(--tensor-parallel-size), a quantized model, or a smaller --max-num-seqs",
    ),
    signature(
        Cause.CONTEXT_TOO_LONG,
        r"KV cache is needed, which is larger than the available KV cache memory",
        "the memory left for the KV cache does not hold one request of --max-model-len tokens: lower --max-model-len, "
        "or give more memory",
    ),
    signature(
        Cause.CACHE_TOO_SMALL,
        r"No available memory for the cache blocks",
        "the weights leave no memory for the KV cache: raise --gpu-memory-utilization, take a larger GPU or a smaller "
        "model",
    ),
    signature(
        Cause.OUT_OF_MEMORY,
        r"DefaultCPUAllocator: (can't allocate|not enough) memory|^MemoryError\b|Cannot allocate memory"
        r"|Available memory on node .* is less than",
        "there is not enough main memory: raise the container's memory, or make the KV cache smaller "
        "(--kv-cache-memory-bytes)",
    ),
    signature(
        Cause.SHARD_BROKEN,
        r"SafetensorError: (Error while deserializing|.*(IncompleteBuffer|HeaderToo|InvalidHeader))"
        r"|is not a valid safetensors",
        "a file of weights is cut short or is no safetensors file: copy it again, and compare its size with the source",
    ),
    signature(
        Cause.SHARD_MISSING,
        r"Weight files referenced in index but missing|Following weights were not initialized from checkpoint"
        r"|No such file or directory: .*\.safetensors",
        "a file of weights is not there, or does not hold what the model needs: copy the model again, whole",
    ),
    signature(
        Cause.WEIGHTS_MISSING,
        r"Cannot find any model weights|does not appear to have a file named (pytorch_model|model\.safetensors)",
        "there are no weights in the model's folder: see that the volume holds *.safetensors files in it",
    ),
    signature(
        Cause.WEIGHTS_MISMATCH,
        r"AssertionError: Tried to load weights of size|size mismatch for"
        r"|Attempted to load weight \(.*\) into parameter"
        r"|The size of tensor .* must match|There is no module or parameter named|exceeds dimension size",
        "weights and config.json do not belong together: copy all of the model's files from one source",
    ),
    signature(
        Cause.CODE_NOT_TRUSTED,
        r"trust_remote_code=True|--trust-remote-code|contains custom code which must be executed",
        "the model brings code of its own: read it, and add --trust-remote-code if you trust it",
    ),
    signature(
        Cause.ARCHITECTURE_UNKNOWN,
        r"does not recognize this architecture|are not supported for now|Model architectures? .* (is|are) not supported"
        r"|has no vLLM implementation|should have a `model_type` key",
        "this vLLM does not know the model's architecture: use an image with a newer vLLM, or another model",
    ),
    signature(
        Cause.CONFIG_BROKEN,
        r"is not a valid JSON file",
        "a configuration file of the model is broken: copy it again",
    ),
    signature(
        Cause.TOKENIZER_BROKEN,
        r"[Cc]ouldn't instantiate the backend tokenizer|Can't load tokenizer|tokenizer.* (is not|was not) found"
        r"|Error while deserializing tokenizer|Unable to load vocabulary|data did not match any variant of untagged",
        "the model's tokenizer cannot be read: see that tokenizer.json or tokenizer.model is in its folder, whole",
    ),
    signature(
        Cause.MODEL_NOT_FOUND,
        r"Invalid repository ID or local directory specified|HFValidationError|Repo id must be in the form"
        r"|RepositoryNotFoundError|LocalEntryNotFoundError|OfflineModeIsEnabled|GatedRepoError"
        r"|Can't load the configuration of",
        "there is no model at this path: see that the volume is mounted and that its folder has a config.json. Models "
        "of a hub need HF_HUB_OFFLINE=0",
    ),
    signature(
        Cause.PORT_TAKEN,
        r"Address already in use|^Port \d+ cannot be used",
        "a port is taken by another program of this pod: change --port, or the setting that the line names",
    ),
    signature(
        Cause.DISK_FULL,
        r"No space left on device|Disk quota exceeded",
        "a volume is full: make the one that the line names larger, or free some of it",
    ),
    signature(
        Cause.FOLDER_NOT_WRITABLE,
        r"(PermissionError|OSError): .*(Read-only file system|Permission denied)",
        "vLLM may not write where it has to: mount a volume at the folder that the line names",
    ),
    signature(
        Cause.BAD_ARGUMENTS,
        r"^vllm(?: serve)?: error: |^MLSERVICE_RUNTIME_\w+ is |^KeyError: 'invalid (tool call|reasoning) parser"
        r"|validation errors? for \w+Config|User-specified max_model_len"
        r"|Unknown quantization method|VLLM_\w+.* (appears to be|Invalid value)",
        "vLLM does not accept its arguments or environment: correct them in the runtime or the service",
    ),
    signature(
        Cause.PROCESS_KILLED,
        r"(Worker proc|Engine core|EngineCore|process) .*died unexpectedly",
        "a process of vLLM was ended from outside, usually because memory was used up: raise the container's memory",
    ),
)
"""The order is the priority: what a line further down shows often follows from what one further up says."""

DETAIL = re.compile(r"^  Value error, ")
"""pydantic names the class first and the error on the next line. Other indented lines are code of a traceback."""
PREFIX = re.compile(
    r"^(?:\x1b\[[0-9;]*m)*(?:\([\w -]+ ?pid=\d+\)(?:\x1b\[[0-9;]*m)*\s*)?"
    r"(?:(?:ERROR|WARNING|INFO) \d\d-\d\d [\d:.]+ \[[^\]]+\] ?)?"
)
"""What vLLM's processes put before their lines: `(EngineCore pid=42) ERROR 11-24 17:29:24 [core.py:1300] `."""
ERROR = re.compile(r"^(?!Exception in thread)(?:[\w.]+\.)?[A-Z]\w*(?:Error|Exception|Exit|Interrupt)\b(?::|$)")
FOLLOWS = re.compile(
    r"Engine core initialization failed|WorkerProc initialization failed|See root cause|EngineDeadError"
)


BY_SIGNAL = {int(signal.SIGBUS): Cause.SHM_TOO_SMALL, int(signal.SIGKILL): Cause.PROCESS_KILLED}
"""What a signal says that came without a word."""


class Failures:
    """Reads vLLM's lines as they come, and keeps the one that tells most."""

    def __init__(self) -> None:
        self.best: tuple[int, str] | None = None
        self.error = ""
        self.before = ""

    def read(self, line: str) -> None:
        """Look at one line of output."""
        text = PREFIX.sub("", line).rstrip()
        detail = DETAIL.match(text)
        if text.startswith(" ") and not detail:
            return
        text = text.strip()
        for rank, known in enumerate(TABLE[: self.best[0]] if self.best else TABLE):
            if known.pattern.search(text):
                self.best = (rank, text)
                break
        else:
            if detail and self.best and self.best[1] == self.before:
                self.best = (self.best[0], text)
        if ERROR.match(text) and not FOLLOWS.search(text) and not self.killed:
            self.error = text
        self.before = text

    @property
    def killed(self) -> bool:
        """Whether nothing tells more than the death of a process; errors after it follow from it."""
        return self.best is not None and TABLE[self.best[0]].cause is Cause.PROCESS_KILLED

    def forget(self) -> None:
        """What was said until the server was ready did not end it."""
        self.best, self.error = None, ""


def termination_message(failures: Failures, phase: str, status: int, stopped: bool = False) -> str:
    """One line of JSON: cause, plain words, the line that shows it, the phase, the exit status.

    `status` is the shell's: 128 and the signal's number for a process that a signal ended. `stopped`: it was told to.
    """
    line = failures.error
    cause, words = Cause.UNKNOWN, "vLLM ended with an error that is not in the table of known ones"
    if stopped:
        cause, words = Cause.STOPPED, "it was told to stop before it was ready: usually its startup probe gave up"
    elif failures.best and not (failures.killed and line):
        known = TABLE[failures.best[0]]
        cause, words, line = known.cause, known.words, failures.best[1]
    elif status - 128 in BY_SIGNAL:
        cause = BY_SIGNAL[status - 128]
        words = next(row.words for row in TABLE if row.cause is cause)
    told = {"reason": cause, "message": words, "line": line[:LINE_LIMIT], "phase": phase, "exitCode": status}
    return json.dumps(told, ensure_ascii=False)


def causes(lines: Iterable[str]) -> Failures:
    """What all lines of an output show."""
    found = Failures()
    for line in lines:
        found.read(line)
    return found
