"""ModelInferRequest as an inference, and its answers as ModelInferResponse."""

from typing import Any

from tritonclient.grpc import service_pb2

from mlservice_runtime.errors import Code, TritonError
from mlservice_runtime.inference import RESERVED, Inference, inference
from mlservice_runtime.tensors import Tensor, element_count, pack, unpack

EMPTY_FINAL = "triton_enable_empty_final_response"
CONTENTS = {
    "BYTES": "bytes_contents",
    "BOOL": "bool_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
}


def inference_of(request: Any) -> Inference:
    """Read a request; data may be in `raw_input_contents` or in each tensor's `contents`, not both."""
    raw = list(request.raw_input_contents)
    if raw and len(raw) != len(request.inputs):
        raise invalid(f"expected {len(request.inputs)} raw_input_contents, one for each input, got {len(raw)}")
    parameters = {name: value(parameter) for name, parameter in request.parameters.items() if name not in RESERVED}
    for name in parameters:
        if name.startswith("triton_") and name != EMPTY_FINAL:
            raise invalid(f"parameter keys starting with 'triton_' are reserved for Triton usage: '{name}'")
    parameters.pop(EMPTY_FINAL, None)
    return inference(
        request.model_name,
        [tensor(entry, raw[at] if raw else None, request.model_name) for at, entry in enumerate(request.inputs)],
        parameters,
        [output.name for output in request.outputs],
        request.id,
    )


def tensor(entry: Any, raw: bytes | None, model: str) -> Tensor:
    shape = tuple(entry.shape)
    if raw is None:
        contents = getattr(entry.contents, CONTENTS.get(entry.datatype, ""), ())
        count = element_count(entry.name, shape)
        if len(contents) != count:
            raise invalid(f"unable to find the {count} elements of input '{entry.name}' of model '{model}'")
        return Tensor(entry.name, entry.datatype, shape, list(contents))
    if entry.HasField("contents"):
        raise invalid(
            f"contents field must not be specified when using raw_input_contents for '{entry.name}' for model '{model}'"
        )
    return unpack(entry.name, entry.datatype, shape, raw)


def value(parameter: Any) -> Any:
    kind = parameter.WhichOneof("parameter_choice")
    return getattr(parameter, kind) if kind else None


def wants_empty_final(request: Any) -> bool:
    return EMPTY_FINAL in request.parameters and bool(request.parameters[EMPTY_FINAL].bool_param)


def response(asked: Inference, outputs: list[Tensor]) -> Any:
    """The response; data in raw_output_contents, in the order of the outputs."""
    made = service_pb2.ModelInferResponse(model_name=asked.model, model_version="1", id=asked.id)
    for output in outputs:
        made.outputs.add(name=output.name, datatype=output.datatype, shape=output.shape)
        made.raw_output_contents.append(pack(output))
    return made


def invalid(message: str) -> TritonError:
    return TritonError(Code.INVALID_ARG, message)
