"""Stands in for NVIDIA's vLLM backend in a real Triton: its tensors and responses, with words that are always the same.

The tensors are those that our runtime describes (tensors.json beside this file), which are NVIDIA's. Triton's Python
backend runs this file in a process of its own.
"""

import json
from pathlib import Path

import numpy
import triton_python_backend_utils as triton

WORDS = (" one", " two", " three")
DECLARED = json.loads((Path(__file__).parent / "tensors.json").read_text())


class TritonPythonModel:
    """The class that Triton looks for."""

    @staticmethod
    def auto_complete_config(config):
        """What NVIDIA's backend adds to a configuration that names only the backend."""
        given = config.as_dict()
        for entry in DECLARED["input"]:
            config.add_input(entry)
        for entry in DECLARED["output"]:
            config.add_output(entry)
        config.set_max_batch_size(0)
        single = given["parameters"].get("SINGLE", {}).get("string_value") == "true"
        config.set_model_transaction_policy({"decoupled": not single})
        return config

    def initialize(self, args):
        policy = json.loads(args["model_config"])["model_transaction_policy"]
        self.decoupled = policy["decoupled"]

    def execute(self, requests):
        if not self.decoupled:
            return [response(text(request) + "".join(WORDS)) for request in requests]
        for request in requests:
            answer(request)
        return None


def answer(request):
    """One response with all words, or with `stream` one for each; the last one has the final flag."""
    prompt, streams = text(request), flag(request, "stream")
    texts = WORDS if streams else ["".join(("" if flag(request, "exclude_input_in_output") else prompt, *WORDS))]
    sender = request.get_response_sender()
    for at, words in enumerate(texts, start=1):
        sender.send(response(words), flags=triton.TRITONSERVER_RESPONSE_COMPLETE_FINAL if at == len(texts) else 0)


def text(request):
    return triton.get_input_tensor_by_name(request, "text_input").as_numpy()[0].decode()


def flag(request, name):
    tensor = triton.get_input_tensor_by_name(request, name)
    return tensor is not None and bool(tensor.as_numpy()[0])


def response(words):
    output = triton.Tensor("text_output", numpy.asarray([words.encode()], dtype=numpy.object_))
    return triton.InferenceResponse(output_tensors=[output])
