"""Triton's gRPC protocol, spoken to a running vLLM with Triton's own client library."""

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from serving import MODEL, Serving
from triton_client import PROMPTS, request, responses, tensor, write_results
from tritonclient.grpc import InferenceServerClient, aio
from tritonclient.utils import InferenceServerException

GREEDY = {"temperature": 0, "max_tokens": 8}


def texts(found: list[tuple[Any, Any]], identifier: str) -> list[str]:
    ours = [result for result, error in found if error is None and result.get_response().id == identifier]
    return [result.as_numpy("text_output")[0].decode() for result in ours]


def finals(found: list[tuple[Any, Any]], identifier: str) -> list[bool]:
    ours = [
        result.get_response() for result, error in found if error is None and result.get_response().id == identifier
    ]
    return [response.parameters["triton_final_response"].bool_param for response in ours]


@pytest.mark.parametrize("generation", ["23.11", "today"])
def test_the_tutorials_client_writes_its_results(server: Serving, generation: str, tmp_path: Path) -> None:
    write_results(server.grpc, MODEL, generation, tmp_path / "results.txt")
    answers = (tmp_path / "results.txt").read_text().split("\n=========\n\n")
    assert answers.pop() == ""
    for prompt, answer in zip(PROMPTS, answers, strict=True):
        assert answer.startswith(prompt)
        assert len(answer) > len(prompt) + 1


def test_a_stream_has_the_same_text_in_parts_and_one_final_response(server: Serving) -> None:
    found = asyncio.run(
        responses(server.grpc, [request(MODEL, "Hi", "a", **GREEDY), request(MODEL, "Hi", "b", stream=True, **GREEDY)])
    )
    (whole,) = texts(found, "a")
    assert "Hi" + "".join(texts(found, "b")) == whole
    assert finals(found, "a") == [True]
    *before, last = finals(found, "b")
    assert len(before) >= 1
    assert (any(before), last) == (False, True)


def test_requests_of_one_stream_run_beside_each_other(server: Serving) -> None:
    sampling = {"temperature": 0, "max_tokens": 100, "ignore_eos": "true"}
    asked = [request(MODEL, "Hi", name, stream=True, **sampling) for name in "abc"]
    order = "".join(result.get_response().id for result, _ in asyncio.run(responses(server.grpc, asked)))
    assert order.index("c") < order.rindex("a")


def test_an_error_leaves_the_stream_open(server: Serving) -> None:
    asked = [
        request(MODEL, "Hi", "bad", colour="red"),
        request("nobody", "Hi", "x"),
        request(MODEL, "Hi", "a", **GREEDY),
    ]
    found = asyncio.run(responses(server.grpc, asked))
    errors = sorted(str(error) for _, error in found if error)
    assert errors == [
        "Error generating stream: Unexpected keyword argument 'colour': it is no sampling parameter",
        "Request for unknown model: 'nobody' is not found",
    ]
    assert len(texts(found, "a")) == 1


def test_an_error_ends_the_stream_for_a_client_that_wants_that(server: Serving) -> None:
    with pytest.raises(grpc.aio.AioRpcError, match="Request for unknown model") as caught:
        asyncio.run(responses(server.grpc, [request("nobody", "Hi", "x")], triton_grpc_error="true"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_unary_inference(server: Serving) -> None:
    async def infer(**arguments: Any) -> Any:
        async with aio.InferenceServerClient(server.grpc) as client:
            return await client.infer(**arguments)

    result = asyncio.run(infer(**request(MODEL, "Hi", "1", **GREEDY)))
    assert result.get_response().id == "1"
    assert result.as_numpy("text_output")[0].startswith(b"Hi")
    for arguments, code in (
        (request(MODEL, "Hi", "1", stream=True), "StatusCode.UNIMPLEMENTED"),
        (request("nobody", "Hi", "1"), "StatusCode.NOT_FOUND"),
        ({**request(MODEL, "Hi", "1"), "inputs": []}, "StatusCode.INVALID_ARGUMENT"),
    ):
        with pytest.raises(InferenceServerException) as caught:
            asyncio.run(infer(**arguments))
        assert caught.value.status() == code


def test_details_of_two_answers(server: Serving) -> None:
    names = ("finish_reason", "cumulative_logprob", "logprobs", "num_input_tokens", "num_output_tokens")
    asked = request(MODEL, "Hi", "1", n=2, max_tokens=3, temperature=1, seed=1, ignore_eos="true")
    asked["inputs"] += [tensor(f"return_{name}", True) for name in names]
    asked["outputs"] = None
    ((result, error),) = asyncio.run(responses(server.grpc, [asked]))
    assert error is None
    assert result.as_numpy("num_output_tokens").tolist() == [3, 3]
    assert result.as_numpy("num_input_tokens").tolist() == [2]
    assert result.as_numpy("finish_reason").tolist() == [b"length", b"length"]
    assert result.as_numpy("cumulative_logprob").shape == (2,)
    assert len(result.as_numpy("text_output")) == 2


def test_the_server_and_its_model_are_described(server: Serving) -> None:
    client = InferenceServerClient(server.grpc)
    assert (client.is_server_live(), client.is_server_ready()) == (True, True)
    assert (client.is_model_ready(MODEL), client.is_model_ready("nobody")) == (True, False)
    assert client.get_server_metadata().name == "triton"
    assert client.get_model_metadata(MODEL).platform == "vllm"
    assert client.get_model_config(MODEL).config.model_transaction_policy.decoupled is True
    assert client.get_inference_statistics(MODEL).model_stats[0].name == MODEL
    assert client.get_model_repository_index().models[0].state == "READY"
    with pytest.raises(InferenceServerException, match="Request for unknown model: 'nobody' is not found"):
        client.get_model_metadata("nobody")
    with pytest.raises(InferenceServerException) as caught:
        client.load_model("nobody")
    assert caught.value.status() == "StatusCode.UNAVAILABLE"
    client.close()


def test_kubernetes_grpc_probe(server: Serving) -> None:
    with grpc.insecure_channel(server.grpc) as channel:
        found = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
    assert found.status == health_pb2.HealthCheckResponse.SERVING
