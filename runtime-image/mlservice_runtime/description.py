"""What Triton says of the server and its models: metadata and configuration."""

from collections.abc import Sequence
from typing import Any

from google.protobuf import json_format
from tritonclient.grpc import model_config_pb2

from mlservice_runtime.inference import INPUTS, OUTPUTS

SERVER = "triton"  # NVIDIA's own clients look for this name
# The version of Triton whose protocol is spoken; what each extension covers is in docs/runtime.md.
VERSION = "2.72.0"
EXTENSIONS = ("model_repository", "model_configuration", "binary_tensor_data", "parameters", "statistics")


def server() -> dict[str, Any]:
    return {"name": SERVER, "version": VERSION, "extensions": list(EXTENSIONS)}


def metadata(model: str) -> dict[str, Any]:
    """Names, data types and shapes; the shapes have no batch dimension."""
    return {
        "name": model,
        "versions": ["1"],
        "platform": "vllm",
        "inputs": [{"name": name, "datatype": kind, "shape": [1]} for name, kind in INPUTS.items()],
        "outputs": [{"name": name, "datatype": kind, "shape": [-1]} for name, kind in OUTPUTS.items()],
    }


def config(model: str) -> model_config_pb2.ModelConfig:
    """What the vLLM backend's auto-completion makes of a config.pbtxt that names only the backend."""
    types = {"BYTES": "TYPE_STRING", "BOOL": "TYPE_BOOL", "FP32": "TYPE_FP32", "UINT32": "TYPE_UINT32"}
    return json_format.ParseDict(
        {
            "name": model,
            "backend": "vllm",
            "runtime": "model.py",
            "version_policy": {"latest": {"num_versions": 1}},
            "max_batch_size": 0,
            "input": [
                {"name": name, "data_type": types[kind], "dims": [1], "optional": name != "text_input"}
                for name, kind in INPUTS.items()
            ],
            "output": [{"name": name, "data_type": types[kind], "dims": [-1]} for name, kind in OUTPUTS.items()],
            "optimization": {
                "priority": "PRIORITY_DEFAULT",
                "input_pinned_memory": {"enable": True},
                "output_pinned_memory": {"enable": True},
            },
            "instance_group": [{"name": f"{model}_0", "kind": "KIND_MODEL", "count": 1}],
            "model_transaction_policy": {"decoupled": True},
        },
        model_config_pb2.ModelConfig(),
    )


def config_document(model: str) -> dict[str, Any]:
    """The configuration as Triton's HTTP side prints it: absent fields too, 64-bit integers as numbers."""
    document: dict[str, Any] = json_format.MessageToDict(
        config(model), preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    for tensor in (*document["input"], *document["output"]):
        tensor["dims"] = [int(size) for size in tensor["dims"]]
    return document


def index(models: Sequence[str]) -> list[dict[str, Any]]:
    """The repository: everything that is served is ready, or this would not be answered."""
    return [{"name": model, "version": "1", "state": "READY"} for model in models]


def fixed(model: str) -> str:
    """Why no model is loaded or unloaded."""
    return f"load / unload of '{model}' is not allowed: the model is the one that vLLM was started with"
