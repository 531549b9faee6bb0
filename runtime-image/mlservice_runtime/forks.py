"""vLLM's processes as forks of one that has imported everything already.

`vllm serve` starts its engine and its workers with multiprocessing's method "spawn": each of them is a new Python that
imports everything again, one after the other. Here the process forks a copy of itself once the imports that all have in
common are done, before it has threads or CUDA. The copy goes on to import what engine and workers need, at the same
time as the original imports what the server needs. When vLLM spawns a process, the copy forks it.

The copy is a fork server, the one of Python's own multiprocessing (`multiprocessing.forkserver`), but for two things:
it is made by fork instead of exec, and its children get the environment of the process that asked. For vLLM the method
is still "spawn": the same objects are pickled, the same files are passed. Wherever this is not possible, Python's own
"spawn" does it, as without us. Nothing of vLLM is replaced.
"""

import contextlib
import gc
import os
import socket
import sys
import threading
from collections.abc import Callable
from importlib import import_module
from multiprocessing import connection, context, forkserver, popen_forkserver, resource_tracker, spawn, util
from typing import Any

NEWEST_PYTHON = (3, 13)
"""The fork server of 3.14 speaks another protocol."""
BINDS = ("GOMP_CPU_AFFINITY", "OMP_PLACES")
READ_ONCE = ("KMP_AFFINITY", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "PYTHONPATH")
"""Variables that libraries read when they are loaded, which is too late for a fork: then it is a spawn."""
fork_server: Any = vars(forkserver)["_forkserver"]
spawned: Any = context.SpawnProcess
spawn_process = spawned._Popen
own_environment: dict[str, str] = {}
meanwhile: list[Callable[[], None]] = []


class Environment:
    """Unpickled in a new process before anything else, it sets the environment of the process that asked for it."""

    def __reduce__(self) -> tuple[Callable[[dict[str, str]], None], tuple[dict[str, str]]]:
        return adopt, (dict(os.environ),)


class Popen(popen_forkserver.Popen):
    """A process made by the fork server; multiprocessing calls `_launch`."""

    def _launch(self, process_obj: Any) -> None:
        preparation_data = spawn.get_preparation_data

        def with_environment(name: str) -> dict[str, Any]:
            return {"environment": Environment(), **preparation_data(name)}

        spawn.get_preparation_data = with_environment
        try:
            super()._launch(process_obj)  # type: ignore[misc]
        finally:
            spawn.get_preparation_data = preparation_data


def adopt(environment: dict[str, str]) -> None:
    """Be as a process that was started with this environment."""
    os.environ.clear()
    os.environ.update(environment)
    gc.enable()
    torch = sys.modules.get("torch")
    threads = environment.get("OMP_NUM_THREADS", "")
    if torch and threads.isdecimal() and threads != own_environment.get("OMP_NUM_THREADS"):
        torch.set_num_threads(int(threads))
    if cpus := processors(environment):
        os.sched_setaffinity(0, cpus)


def processors(environment: dict[str, str]) -> set[int]:
    """The processors that vLLM binds OpenMP's threads to: a list of numbers, written with spaces or as {0,1,2}."""
    for name in BINDS:
        text = environment.get(name, "")
        if text and text != own_environment.get(name):
            return {int(number) for number in text.strip("{}").replace(",", " ").split() if number.isdecimal()}
    return set()


def popen(process_obj: Any) -> Any:
    """A process for multiprocessing's method "spawn": forked where that is possible."""
    same = all(os.environ.get(name) == own_environment.get(name) for name in READ_ONCE)
    if same and fork_server._forkserver_address:
        try:
            made = Popen(process_obj)
            while meanwhile:
                meanwhile.pop()()
            return made
        except (OSError, EOFError):
            fork_server._forkserver_address = None
    return spawn_process(process_obj)


def possible(arguments: list[str]) -> bool:
    """Whether processes can be forked. --numa-bind runs them by a program of its own."""
    return (
        (3, 11) <= sys.version_info[:2] <= NEWEST_PYTHON
        and threading.active_count() == 1
        and not any(argument.startswith("--numa-bind") for argument in arguments)
    )


def serve(first: Callable[[], None], modules: Callable[[], list[str]], then: Callable[[], None]) -> int:
    """Fork the server; every process that is spawned from now on comes from it.

    The copy calls `first`, then imports what `modules` names. `then` is called in this process when it has spawned its
    first one. Returns a pipe that ends when the copy has done `first`.
    """
    own_environment.update(os.environ)
    resource_tracker.ensure_running()
    listener = socket.socket(socket.AF_UNIX)
    address = vars(connection)["arbitrary_address"]("AF_UNIX")
    listener.bind(address)
    listener.listen()
    alive, held = os.pipe()
    done, tell = os.pipe()
    fork_server._forkserver_address = address
    fork_server.ensure_running = resource_tracker.ensure_running
    spawned._Popen = staticmethod(popen)
    pid = os.fork()
    if pid == 0:
        os.close(held)
        os.close(done)
        with contextlib.suppress(Exception):
            first()
        os.close(tell)
        run_server(listener, alive, modules)
    listener.close()
    os.close(alive)
    os.close(tell)
    meanwhile.append(then)
    fork_server._forkserver_alive_fd = held
    util.Finalize(None, os.unlink, (address,), exitpriority=0)
    return done


def run_server(listener: socket.socket, alive: int, modules: Callable[[], list[str]]) -> None:
    """The copy's life: imports, then forks, until no process of vLLM is left."""
    try:
        for name in modules():
            with contextlib.suppress(Exception):  # the process that needs it will say what is wrong
                import_module(name)
        gc.collect()
        gc.freeze()
        torch = sys.modules.get("torch")
        if threading.active_count() == 1 and not (torch and torch.cuda.is_initialized()):
            forkserver.main(listener.detach(), alive, [])
    finally:
        os._exit(0)
