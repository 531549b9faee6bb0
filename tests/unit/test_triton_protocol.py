"""Triton's protocol as pure functions: requests read and refused, answers written. Texts and codes are Triton's."""

import json
import math
import struct
from types import SimpleNamespace as Namespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from mlservice_runtime import completion, generate_json, infer_grpc, infer_json
from mlservice_runtime.completion import Answer, Answers, Choice
from mlservice_runtime.errors import Code, TritonError, from_openai
from mlservice_runtime.inference import Inference
from mlservice_runtime.statistics import Statistics
from mlservice_runtime.tensors import FORMATS, Tensor, pack, unpack
from mlservice_runtime.triton_metrics import TritonMetrics
from prometheus_client import CollectorRegistry
from tritonclient.grpc import InferInput, InferRequestedOutput, service_pb2
from tritonclient.utils import deserialize_bytes_tensor, serialize_byte_tensor

TUTORIAL = {"text_input": "What is Triton?", "parameters": {"stream": False, "temperature": 0}}


def read(document: Any) -> Inference:
    return generate_json.request("llama", document if isinstance(document, bytes) else json.dumps(document).encode())


def refusal(document: Any) -> tuple[Code, str]:
    with pytest.raises(TritonError) as caught:
        read(document)
    return caught.value.code, caught.value.message


class TestGenerate:
    def test_the_tutorials_request(self) -> None:
        assert read(TUTORIAL) == Inference("llama", "What is Triton?", parameters={"temperature": 0})

    def test_inputs_and_parameters_may_be_at_either_level(self) -> None:
        asked = read({"id": "7", "text_input": ["a"], "max_tokens": 5, "parameters": {"return_logprobs": True}})
        assert (asked.id, asked.parameters, asked.outputs) == ("7", {"max_tokens": 5}, ("text_output", "logprobs"))

    def test_the_tensor_of_sampling_parameters_wins(self) -> None:
        asked = read({"text_input": "a", "temperature": 1, "sampling_parameters": '{"top_p": "0.9", "lora_name": "x"}'})
        assert (asked.parameters, asked.lora) == ({"top_p": "0.9"}, "x")

    @pytest.mark.parametrize(
        ("document", "code", "text"),
        [
            ("{", Code.INTERNAL, "failed to parse the request JSON buffer: "),
            ("[]", Code.INTERNAL, "attempt to get members for non-object"),
            ('{"text_input": "a", "temperature": NaN}', Code.INTERNAL, "failed to parse the request JSON buffer: "),
            ("[" * 100_000, Code.INTERNAL, "failed to parse the request JSON buffer: "),
            (b"\xff\xfe{", Code.INTERNAL, "failed to parse the request JSON buffer: "),
            (b'{"text_input": "\xff"}', Code.INTERNAL, "failed to parse the request JSON buffer: "),
            ('{"text_input": "\\ud800"}', Code.INVALID_ARG, "input 'text_input' has half a surrogate pair"),
            ('{"text_input": 1}', Code.INTERNAL, "Unable to parse JSON bytes array: attempt to access JSON non-"),
            (
                '{"text_input": "a", "stream": "yes"}',
                Code.INTERNAL,
                "Unable to parse 'data': attempt to access JSON non-",
            ),
            ('{"text_input": ["a", "b"]}', Code.INVALID_ARG, "The schema can not convert input 'text_input' to tensor"),
            (
                '{"text_input": "a", "text_input": "b"}',
                Code.INVALID_ARG,
                "[request id: <id_unknown>] input 'text_input' already exists in request",
            ),
            ('{"text_input": "a", "parameters": 1}', Code.INTERNAL, "Expected JSON object for keyword: 'parameters'"),
            ('{"text_input": "a", "stop": ["x"]}', Code.INVALID_ARG, "parameter 'stop' has invalid type."),
            (
                '{"text_input": "a", "parameters": {"stop": []}}',
                Code.INVALID_ARG,
                "Converting keyword: 'parameters': parameter 'stop' has invalid type.",
            ),
            ("", Code.INTERNAL, "failed to parse the request JSON buffer: "),
            (
                "{}",
                Code.INVALID_ARG,
                "[request id: <id_unknown>] expected number of inputs between 1 and 9 but got 0 inputs",
            ),
            ('{"id": "7", "stream": true}', Code.INVALID_ARG, "[request id: 7] expected number of inputs between"),
            ('{"text_input": "a", "sampling_parameters": "{"}', Code.INTERNAL, "Error generating stream: sampling_"),
            (
                '{"text_input": "a", "stream": true, "exclude_input_in_output": false}',
                Code.INTERNAL,
                "Error generating stream: When streaming, `exclude_input_in_output` = False is not allowed.",
            ),
        ],
    )
    def test_refusals(self, document: str | bytes, code: Code, text: str) -> None:
        found = refusal(document if isinstance(document, bytes) else document.encode())
        assert found[0] is code
        assert found[1].startswith(text)

    @pytest.mark.parametrize("depth", [1, 900, 5000])
    def test_a_nested_array_is_read_or_refused_however_deep(self, depth: int) -> None:
        body = f'{{"text_input": {"[" * depth}"a"{"]" * depth}}}'.encode()
        try:
            assert read(body).text == "a"
        except TritonError as error:
            assert error.message.startswith("failed to parse the request JSON buffer: ")

    @given(some.binary())
    def test_any_body_is_read_or_refused(self, body: bytes) -> None:
        try:
            read(body)
        except TritonError as error:
            assert error.message

    def test_one_element_is_a_scalar_and_keys_are_sorted(self) -> None:
        asked = read({**TUTORIAL, "id": "1"})
        one, two = (completion.outputs(asked, Answer(tuple([Choice("!")] * n))) for n in (1, 2))
        assert generate_json.response(asked, one) == (
            b'{"id":"1","model_name":"llama","model_version":"1","text_output":"What is Triton?!"}'
        )
        assert json.loads(generate_json.response(asked, two))["text_output"] == ["What is Triton?!"] * 2


class TestCompletion:
    def test_text_is_read_as_what_the_parameter_is(self) -> None:
        given = {"temperature": "0.1", "max_tokens": "100", "ignore_eos": "true", "stop_token_ids": "[1]", "stop": "x"}
        body = completion.request(Inference("m", "p", parameters=given))
        del body["model"], body["prompt"], body["stream"]
        assert body == {"temperature": 0.1, "max_tokens": 100, "ignore_eos": True, "stop_token_ids": [1], "stop": "x"}

    @pytest.mark.parametrize(
        ("parameter", "text"),
        [
            ({"colour": "red"}, "Unexpected keyword argument 'colour'"),
            ({"max_tokens": "many"}, "parameter 'max_tokens' must be int, it is 'many'"),
            ({"logit_bias": "{"}, "parameter 'logit_bias' must be JSON"),
            ({"ignore_eos": "perhaps"}, "parameter 'ignore_eos' must be bool"),
        ],
    )
    def test_a_parameter_that_is_none(self, parameter: dict[str, Any], text: str) -> None:
        with pytest.raises(TritonError, match=f"Error generating stream: {text}"):
            completion.request(Inference("m", "p", parameters=parameter))

    def test_the_prompt_is_prepended_unless_excluded_or_streamed(self) -> None:
        answer = Answer((Choice("b"),))
        asked = [
            Inference("m", "a"),
            Inference("m", "a", exclude_input=True),
            read({"text_input": "a", "stream": True}),
        ]
        assert [completion.outputs(one, answer)[0].values for one in asked] == [[b"ab"], [b"b"], [b"b"]]

    def test_a_stream_of_two_answers_is_final_when_both_are(self) -> None:
        answers = Answers(Inference("m", "p", parameters={"n": "2"}))
        found = [
            answers.answer(output({0: Choice("a")}, prompt_token_ids=[1, 2, 3])),
            answers.answer(output({1: Choice("b", finish_reason="stop")})),
            answers.answer(output({0: Choice("c", finish_reason="length")}, finished=True)),
        ]
        assert [[choice.text for choice in answer.choices] for answer in found] == [["a", ""], ["", "b"], ["c", ""]]
        assert [answer.final for answer in found] == [False, False, True]
        assert {answer.num_input_tokens for answer in found} == {3}

    def test_an_error_in_a_stream(self) -> None:
        with pytest.raises(TritonError, match="Error generating stream: Internal server error"):
            Answers(Inference("m", "p")).answer(output({0: Choice(finish_reason="error")}, finished=True))

    def test_details_are_those_of_the_tokens(self) -> None:
        sampled = Namespace(logprob=-1.5, rank=2, decoded_token="x")
        other = Namespace(logprob=-math.inf, rank=1, decoded_token="y")
        positions = [{5: sampled, 9: other}]
        names = ("finish_reason", "cumulative_logprob", "logprobs", "num_input_tokens", "num_output_tokens")
        asked = Inference("m", "p", outputs=names)
        answer = Answers(asked).answer(
            output({0: Choice("x", [5], -1.5, positions, "length")}, prompt_token_ids=[1, 2])
        )
        finish, cumulative, told, inputs, outputs = completion.outputs(asked, answer)
        assert [finish.values, cumulative.values, inputs.values, outputs.values] == [[b"length"], [-1.5], [2], [1]]
        assert json.loads(told.values[0]) == [
            {
                "5": {"logprob": -1.5, "rank": 2, "decoded_token": "x"},
                "9": {"logprob": -9999.0, "rank": 1, "decoded_token": "y"},
            }
        ]

    def test_a_full_queue_stays_a_reason_to_try_again(self) -> None:
        assert from_openai(503, {"error": {"message": "busy"}}).code is Code.UNAVAILABLE
        assert from_openai(400, {"error": {"message": "bad"}}).message == "Error generating stream: bad"


def output(choices: dict[int, Choice], prompt_token_ids: Any = None, finished: bool = False) -> Namespace:
    """What the engine puts out: vllm.outputs.RequestOutput."""
    made = [Namespace(index=index, **vars(choice)) for index, choice in choices.items()]
    return Namespace(outputs=made, prompt_token_ids=prompt_token_ids, finished=finished)


class TestTensors:
    @given(some.lists(some.binary()))
    def test_strings_are_packed_as_tritons_client_does(self, values: list[bytes]) -> None:
        raw = pack(Tensor("t", "BYTES", (len(values),), values))
        array = np.array([*values, b""], dtype=object)[:-1]
        assert raw == (serialize_byte_tensor(array).item() if values else b"")
        assert list(deserialize_bytes_tensor(raw)) == values
        assert unpack("t", "BYTES", (len(values),), raw).values == values

    @pytest.mark.parametrize("datatype", FORMATS)
    def test_numbers(self, datatype: str) -> None:
        raw = pack(Tensor("t", datatype, (2,), [0, 1]))
        assert unpack("t", datatype, (2,), raw).values == [0, 1]
        with pytest.raises(TritonError, match=f"unexpected total byte size {len(raw)} for input 't'"):
            unpack("t", datatype, (3,), raw)

    @given(some.binary(), some.lists(some.integers()))
    def test_any_bytes_are_read_or_refused(self, raw: bytes, shape: list[int]) -> None:
        try:
            tensor = unpack("t", "BYTES", tuple(shape), raw)
        except TritonError as error:
            assert error.code is Code.INVALID_ARG
        else:
            assert pack(tensor) == raw


class TestInferHttp:
    def request(self, *inputs: dict[str, Any], **more: Any) -> tuple[Inference, set[str]]:
        return infer_json.request("llama", json.dumps({"inputs": inputs, **more}).encode(), None)

    def test_json(self) -> None:
        text = {"name": "text_input", "datatype": "BYTES", "shape": [1], "data": [["hi"]]}
        asked, binary = self.request(text, id="1", parameters={"max_tokens": 3}, outputs=[{"name": "text_output"}])
        assert asked == Inference("llama", "hi", "1", parameters={"max_tokens": 3})
        content, length = infer_json.response(asked, completion.outputs(asked, Answer((Choice("!"),))), binary)
        assert length is None
        assert json.loads(content)["outputs"] == [
            {"name": "text_output", "datatype": "BYTES", "shape": [1], "data": ["hi!"]}
        ]

    def test_binary(self) -> None:
        text = {"name": "text_input", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": 6}}
        header = json.dumps({"inputs": [text], "parameters": {"binary_data_output": True}}).encode()
        asked, binary = infer_json.request("llama", header + b"\x02\0\0\0hi", str(len(header)))
        content, length = infer_json.response(asked, completion.outputs(asked, Answer((Choice("!"),))), binary)
        assert asked.text == "hi"
        assert content[length:] == b"\x03\0\0\0hi!"

    @pytest.mark.parametrize(
        ("tensor", "text"),
        [
            ({"datatype": "FP32", "data": [1.5]}, "data-type is 'FP32', but model 'llama' expects 'BYTES'"),
            ({"shape": [2], "data": ["a", "b"]}, "unexpected shape for input 'text_input' for model 'llama'"),
            ({"shape": [-1]}, "Unable to parse 'shape': attempt to access JSON non-unsigned-integer"),
            ({"datatype": "BOOL", "data": [True], "shape": [10**9, 10**9]}, "has too many elements"),
            ({"data": [1]}, "Unable to parse JSON bytes array: attempt to access JSON non-string as string"),
            ({"name": "prompt"}, "unexpected inference input 'prompt' for model 'llama'"),
            ({"parameters": {"binary_data_size": 9}}, "But set 'data' 'binary_data_size'"),
            ({"name": 1}, "Unable to parse 'name': attempt to access JSON non-string as string"),
        ],
    )
    def test_refusals(self, tensor: dict[str, Any], text: str) -> None:
        good = {"name": "text_input", "datatype": "BYTES", "shape": [1], "data": ["a"]}
        with pytest.raises(TritonError) as caught:
            self.request(good | tensor)
        assert text in caught.value.message

    @given(some.binary(), some.none() | some.integers().map(str) | some.text() | some.just("9" * 5000))
    def test_any_body_is_read_or_refused(self, body: bytes, length: str | None) -> None:
        with pytest.raises(TritonError):
            infer_json.request("llama", body, length)


def test_metrics_have_tritons_names() -> None:
    counted = Statistics()
    counted.succeeded(3_000_000)
    counted.failed(1, "REJECTED")
    registry = CollectorRegistry()
    registry.register(TritonMetrics({"llama": counted}))
    model = {"model": "llama", "version": "1"}
    assert registry.get_sample_value("nv_inference_request_success", model) == 1
    assert registry.get_sample_value("nv_inference_request_duration_us", model) == 3000
    assert registry.get_sample_value("nv_inference_request_failure", model | {"reason": "REJECTED"}) == 1


class TestInferGrpc:
    def request(self, *names: str, **parameters: str) -> Any:
        values = {"text_input": (b"hi\n", "BYTES"), "stream": (False, "BOOL")}
        values |= {"sampling_parameters": (json.dumps(parameters).encode(), "BYTES")}
        values |= {"exclude_input_in_output": (True, "BOOL")}
        made = service_pb2.ModelInferRequest(model_name="llama", id="1")
        for name in names:
            value, datatype = values[name]
            tensor = InferInput(name, [1], datatype)
            tensor.set_data_from_numpy(np.array([value], dtype=object if datatype == "BYTES" else bool))
            made.inputs.append(tensor._get_tensor())
            made.raw_input_contents.append(tensor._get_content())
        made.outputs.append(InferRequestedOutput("text_output")._get_tensor())
        for name, text in parameters.items():
            made.parameters[name].string_param = text
        return made

    def test_the_client_of_23_11(self) -> None:
        asked = infer_grpc.inference_of(self.request("text_input", "stream", "sampling_parameters", top_p="0.95"))
        assert asked == Inference("llama", "hi\n", "1", parameters={"top_p": "0.95"})

    def test_the_client_of_today(self) -> None:
        names = ("text_input", "stream", "sampling_parameters", "exclude_input_in_output")
        asked = infer_grpc.inference_of(self.request(*names, max_tokens="100"))
        assert asked == Inference("llama", "hi\n", "1", exclude_input=True, parameters={"max_tokens": "100"})

    def test_contents_instead_of_raw_contents(self) -> None:
        made = service_pb2.ModelInferRequest(model_name="llama")
        tensor = made.inputs.add(name="text_input", datatype="BYTES", shape=[1])
        tensor.contents.bytes_contents.append(b"hi")
        assert infer_grpc.inference_of(made).text == "hi"
        made.raw_input_contents.append(b"\x02\0\0\0hi")
        with pytest.raises(TritonError, match="contents field must not be specified when using raw_input_contents"):
            infer_grpc.inference_of(made)

    def test_reserved_parameters(self) -> None:
        made = self.request("text_input")
        made.parameters["triton_enable_empty_final_response"].bool_param = True
        assert infer_grpc.inference_of(made).parameters == {}
        made.parameters["triton_other"].bool_param = True
        with pytest.raises(TritonError, match="reserved for Triton usage"):
            infer_grpc.inference_of(made)

    def test_what_is_not_utf8(self) -> None:
        made = self.request("text_input")
        made.raw_input_contents[0] = struct.pack("<I", 2) + b"\xff\xfe"
        with pytest.raises(TritonError, match="input 'text_input' is not UTF-8"):
            infer_grpc.inference_of(made)

    def test_the_response_has_raw_contents_in_the_order_of_its_outputs(self) -> None:
        asked = Inference("llama", "hi", "9", outputs=("text_output", "num_output_tokens"))
        answer = Answer((Choice("!", token_ids=(1, 2)),))
        made = infer_grpc.response(asked, completion.outputs(asked, answer))
        assert [output.name for output in made.outputs] == ["text_output", "num_output_tokens"]
        assert list(made.raw_output_contents) == [b"\x03\0\0\0hi!", b"\x02\0\0\0"]
        assert (made.id, made.model_name, made.model_version) == ("9", "llama", "1")
