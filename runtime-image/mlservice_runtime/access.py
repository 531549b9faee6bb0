"""Who may call which route: the one table of all routes, vLLM's and ours. Whatever is not in it needs the key."""

import re
from enum import Enum


class Access(Enum):
    """What a route is, which decides who may call it and how it is watched."""

    HEALTH = "open: probes have no key"
    METRICS = "open, or with the key where MLSERVICE_RUNTIME_KEYED_METRICS says so"
    ENGINE = "with the key; waits for the engine"
    KEYED = "with the key"
    ADMIN = "off: vLLM always has it, and it changes or breaks off what others use; MLSERVICE_RUNTIME_ADMIN_ROUTES"


TABLE: dict[Access, tuple[str, ...]] = {
    Access.HEALTH: (
        r"/health",
        r"/ping",
        r"/v2/health/(live|ready)",
        r"/v2/models/.+/ready",
    ),
    Access.METRICS: (r"/metrics/?",),
    Access.ENGINE: (
        r"/v1/(chat/completions(/batch)?|completions|messages|responses|embeddings|score|rerank|decisions|systemone)",
        r"/v1/audio/(transcriptions|translations)",
        r"/v2/(embed|rerank)",
        r"/(pooling|classify|score|rerank|generative_scoring|invocations)",
        r"/inference/v1/generate",
    ),
    Access.KEYED: (
        r"/openapi\.json",
        r"/docs(/oauth2-redirect)?",
        r"/redoc",
        r"/(load|version|kv_event_sources|server_info|tokenizer_info)",
        r"/(tokenize|detokenize)",
        r"/v1/models",
        r"/v1/responses/[^/]+(/cancel)?",
        r"/v1/messages/count_tokens",
        r"/v1/(chat/completions|messages|completions|responses)/(render|derender)",
        r"/v1/(load|unload)_lora_adapter",
        r"/v1/realtime",
        # Only with VLLM_SERVER_DEV_MODE or a profiler, so somebody asked for them
        r"/(sleep|wake_up|is_sleeping|release_kv_cache_memory|reset_(prefix|mm|encoder)_cache|collective_rpc)",
        r"/(pause|resume|is_paused|start_profile|stop_profile)",
        # Ours; what a `generate` waits for is noted where the engine's outputs are read
        r"/v2/?",
        r"/v2/health/.*",
        r"/v2/models/.*",
        r"/v2/repository/.*",
    ),
    Access.ADMIN: (
        r"/scale_elastic_ep",
        r"/is_scaling_elastic_ep",
        r"/inference/v1/abort_requests",
        r"/abort_requests",
    ),
}
PATTERNS = tuple((access, re.compile("|".join(paths))) for access, paths in TABLE.items())
# Methods of gRPC services that are health; everything else there needs the key.
OPEN_GRPC = frozenset(
    {
        "/inference.GRPCInferenceService/ServerLive",
        "/inference.GRPCInferenceService/ServerReady",
        "/inference.GRPCInferenceService/ModelReady",
        "/grpc.health.v1.Health/Check",
    }
)


def access(path: str) -> Access | None:
    """What a path, or a route's template, is in the table; None when nobody put it there."""
    return next((found for found, pattern in PATTERNS if pattern.fullmatch(path)), None)
