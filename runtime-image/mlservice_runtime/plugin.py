"""What vLLM loads: an endpoint plugin (vllm/plugins/endpoint_plugins/interface.py, vLLM 0.26 or newer).

VLLM_PLUGINS has to name it (`mlservice`); the images set that. Nothing of vLLM is patched.
"""

import os
from argparse import Namespace
from typing import Any

from fastapi import FastAPI
from prometheus_client import REGISTRY

from mlservice_runtime import status, triton_grpc
from mlservice_runtime.activity import Activity
from mlservice_runtime.drain import Drain
from mlservice_runtime.gate import Gate
from mlservice_runtime.generation import Generation
from mlservice_runtime.health import Health
from mlservice_runtime.keys import Keys
from mlservice_runtime.listeners import Listeners
from mlservice_runtime.progress import Phase
from mlservice_runtime.settings import Settings
from mlservice_runtime.triton_http import TritonHttp
from mlservice_runtime.triton_metrics import TritonMetrics
from mlservice_runtime.vllm_serving import VllmServing

CLOSING_SECONDS = 3


class Plugin:
    """One of these is made for each process that serves HTTP."""

    name = "mlservice"
    required_tasks = None

    def __init__(self) -> None:
        try:
            self.settings = Settings.read()
        except ValueError as error:
            # vLLM would go on without a plugin that raises an Exception, and so without the guard at the door.
            raise SystemExit(str(error)) from None
        self.activity = Activity()
        self.health = Health(self.activity, self.settings.stuck_seconds)

    def attach_router(self, app: FastAPI) -> None:
        """Add our routes. The rest waits for the engine and for vLLM's own middleware."""
        self.app = app
        TritonHttp(lambda: self.generation, self.health, self.settings.max_body_bytes).attach(app)

    async def init_state(self, engine_client: Any, state: Any, args: Namespace) -> None:
        """Tie everything together: the engine is up, the application is complete and not served yet."""
        keys = Keys(args.api_key or [os.environ.get("VLLM_API_KEY", "")])
        names = tuple(args.served_model_name or [args.model])
        serving = VllmServing(self.app)
        self.generation = Generation(serving, self.activity, names, lora_enabled=bool(args.enable_lora))
        REGISTRY.register(TritonMetrics(self.generation.statistics))
        self.health.engine = engine_client
        service = triton_grpc.server(
            triton_grpc.TritonGrpc(self.generation, self.health, self.activity), keys, self.settings.max_body_bytes
        )
        self.listeners = Listeners(self.settings, self.app, args, service)
        self.listeners.bind()
        self.drain = Drain(self.settings.folder, self.activity, self.health, self.listeners.stop_grpc)
        # Not add_middleware: vLLM has built its middleware by now, and ours must stand before all of it.
        self.app.middleware_stack = Gate(
            self.app.middleware_stack or self.app.build_middleware_stack(),
            settings=self.settings,
            keys=keys,
            activity=self.activity,
            health=self.health,
            opened=self.opened,
            closed=self.closed,
        )

    async def opened(self) -> None:
        """vLLM is about to listen: so do we."""
        await self.drain.open()
        await self.listeners.open()
        self.bound_the_end()
        self.health.serving = True
        status.tell(self.settings.folder, Phase.READY)

    def bound_the_end(self) -> None:
        """Bound how long vLLM's server waits for open responses when it is stopped.

        vLLM stops its engine first, after --shutdown-timeout by force, and then waits without limit for responses that
        nobody will finish (vllm/entrypoints/launchers/launcher.py: serve_http).
        """
        server = getattr(self.app.state, "server", None)
        if server is not None:
            server.config.timeout_graceful_shutdown = CLOSING_SECONDS

    async def closed(self) -> None:
        """vLLM has answered its last request."""
        self.health.serving = False
        status.tell(self.settings.folder, Phase.DRAINING)
        await self.listeners.close()
        await self.drain.close()
