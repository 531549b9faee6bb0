"""The child of the launcher: `vllm serve` in this process, started in less time.

multiprocessing imports this module again in the processes that it spawns, so it imports little at the top.
"""

import ctypes
import gc
import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Any

from mlservice_runtime.cuda_graphs import capture_sizes
from mlservice_runtime.preload import built_for_cpu

PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of linux/prctl.h
COMMON = ("vllm.engine.arg_utils", "vllm.v1.engine.async_llm")
ENGINE = ("vllm.v1.engine.core",)
WORKER = {
    "cpu": ("vllm.v1.executor.multiproc_executor", "vllm.v1.worker.cpu_worker"),
    "cuda": (
        "vllm.v1.executor.uniproc_executor",
        "vllm.v1.worker.gpu_worker",
        "vllm.v1.worker.gpu_model_runner",
        "vllm.v1.worker.gpu.model_runner",
        "vllm.v1.attention.backends.flash_attn",
        "vllm.compilation.backends",
        "torch._inductor.compile_fx",
    ),
}
SERVER = (
    "vllm.entrypoints.launchers.app",
    "vllm.entrypoints.launchers.api_server.app_state",
    "vllm.entrypoints.serve",
    "vllm.entrypoints.openai.models.api_router",
    "vllm.entrypoints.openai.chat_completion.api_router",
    "vllm.entrypoints.openai.responses.api_router",
    "vllm.entrypoints.openai.completion.api_router",
    "vllm.entrypoints.anthropic.api_router",
    "vllm.entrypoints.generate.generative_scoring.api_router",
    "vllm.entrypoints.serve.sagemaker.api_router",
    "vllm.entrypoints.serve.elastic_ep.api_router",
    "vllm.entrypoints.scale_out.factories",
    "vllm.entrypoints.mcp.tool_server",
    "mlservice_runtime.plugin",
)
"""What the server imports only when the engine is up. A name that this version of vLLM does not have is left out."""


def main() -> None:
    """Become vLLM's command line. It ends, as a pod does, when the launcher is killed."""
    ctypes.CDLL(None).prctl(PARENT_DEATH_SIGNAL, signal.SIGTERM, 0, 0, 0)
    sys.argv[0] = "vllm"
    from mlservice_runtime.settings import Settings

    settings = Settings.read()
    # The compiled model as one file; newer versions of vLLM do so by themselves.
    os.environ.setdefault("VLLM_USE_MEGA_AOT_ARTIFACT", "1")
    if settings.few_graphs and not built_for_cpu():
        sys.argv += capture_sizes(sys.argv[2:])
    known = fork_server() if settings.fork else None
    command = settings.short_command and short_command()
    if not built_for_cpu():
        one_assembler()
    if known is not None:
        if not model_known():
            os.read(known, 1)
        os.close(known)
    if command:
        command()
        return
    from vllm.entrypoints.cli.main import main as whole

    whole()


def fork_server() -> int | None:
    """Import what all processes have in common, once, and fork them from here on."""
    from mlservice_runtime import forks

    if not forks.possible(sys.argv):
        return None
    gc.disable()  # imports make nothing but objects that stay
    for name in COMMON:
        with suppress(ImportError):
            import_module(name)
    known = forks.serve(inspect_model, engine_modules, threading.Thread(target=import_server, daemon=True).start)
    gc.freeze()
    gc.enable()
    return known


def one_assembler() -> None:
    """Let Triton assemble all kernels with the ptxas that torch brings, not only from the first that torch compiles on.

    The version of ptxas is part of the key by which Triton keeps a kernel. In some starts torch compiles one of its own
    before vLLM does, in others not, so that vLLM's kernels would be compiled again when it is the other way round.
    """
    with suppress(ImportError, AttributeError):
        import_module("torch._inductor.runtime.compile_tasks")._set_triton_ptxas_path()


def inspect_model() -> None:
    """Import the model's class, and leave what vLLM wants to know of it in vLLM's cache.

    vLLM runs a new Python for that, which takes as long as all imports. This process serves nothing and does it itself.
    """
    registry: Any = import_module("vllm.model_executor.models.registry")
    for name in architectures():
        model = registry.ModelRegistry.models[name]
        import_module(model.module_name)
        if hasattr(registry, "_run_in_subprocess"):
            registry._run_in_subprocess = lambda ask: ask()
            model.inspect_model_cls()


def model_known() -> bool:
    """Whether vLLM has what it wants to know of the model's class in its cache."""

    class NotCached(Exception):
        pass

    def ask(_: object) -> None:
        raise NotCached

    registry: Any = import_module("vllm.model_executor.models.registry")
    run = getattr(registry, "_run_in_subprocess", None)
    if run is None:
        return False
    registry._run_in_subprocess = ask
    try:
        for name in architectures():
            registry.ModelRegistry.models[name].inspect_model_cls()
    except Exception:  # vLLM will ask the same and say what is wrong
        return False
    finally:
        registry._run_in_subprocess = run
    return True


def import_server() -> None:
    """Import the server's modules while the engine starts in its process."""
    for name in SERVER:
        with suppress(ImportError):
            import_module(name)


def engine_modules() -> list[str]:
    """What the engine and its worker import on this platform."""
    from vllm.platforms import current_platform

    return [*ENGINE, *WORKER.get(current_platform.device_type, ())]


def architectures() -> list[str]:
    """The names that the model's configuration gives its architecture."""
    from mlservice_runtime.weights import model_of

    folder = model_of(sys.argv[2:])
    return list(json.loads((folder / "config.json").read_text())["architectures"]) if folder else []


def short_command() -> Callable[[], None] | None:
    """vLLM's command line without its other commands, whose imports take a while; None where it is not as known."""
    try:
        command = import_module("vllm.entrypoints.cli.serve").cmd_init()[0]
        parser = import_module("vllm.utils.argparse_utils").FlexibleArgumentParser(prog="vllm")
        command.subparser_init(parser.add_subparsers(dest="subparser")).set_defaults(dispatch_function=command.cmd)
    except (ImportError, AttributeError, TypeError):
        return None
    os.environ.setdefault("VLLM_WORKER_MULTIPROC_METHOD", "spawn")  # as vLLM's own command line does

    def run() -> None:
        parsed = parser.parse_args()
        if configure := getattr(import_module("vllm.logger"), "configure_logging_from_args", None):
            configure(parsed)
        command.validate(parsed)
        parsed.dispatch_function(parsed)

    return run


if __name__ == "__main__":
    main()
