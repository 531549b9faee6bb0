"""A Kubernetes operator that serves language models with vLLM.

Layers, each importing only those to its left: `api` <- `plan` <- `cluster` <- `controller` <- `cli`.
"""

__version__ = "0.1.0"
