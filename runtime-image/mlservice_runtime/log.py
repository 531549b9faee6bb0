"""Our log lines look like vLLM's and are switched with them: the logger is a child of vLLM's own."""

import logging

logger = logging.getLogger("vllm.mlservice_runtime")
