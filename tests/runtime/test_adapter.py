"""What vLLM decides stays vLLM's also over Triton's protocol: LoRA adapters by name, and a queue that is full."""

import asyncio
import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest
from serving import ADAPTER, AUTHORIZED, MODEL, Serving, wait_until
from triton_client import request, responses
from tritonclient.grpc import aio
from tritonclient.utils import InferenceServerException

PROMPT = {"text_input": "Hello", "temperature": 0}


def generate(server: Serving, **parameters: Any) -> httpx2.Response:
    url = f"{server.url}/v2/models/{MODEL}/generate"
    return httpx2.post(url, json={**PROMPT, **parameters}, headers=AUTHORIZED, timeout=120)


def test_an_adapter_is_chosen_by_name(keyed: Serving) -> None:
    plain, adapted = generate(keyed).json(), generate(keyed, lora_name=ADAPTER).json()
    body = {"model": ADAPTER, "prompt": PROMPT["text_input"], "temperature": 0}
    answer = httpx2.post(f"{keyed.url}/v1/completions", json=body, headers=AUTHORIZED, timeout=60).json()
    assert adapted["text_output"] == PROMPT["text_input"] + answer["choices"][0]["text"]
    assert adapted["text_output"] != plain["text_output"]
    assert adapted["model_name"] == MODEL


def test_an_adapter_that_is_not_there(keyed: Serving) -> None:
    text = f"Error generating stream: LoRA nobody is not supported, we currently support ['{ADAPTER}']"
    assert generate(keyed, lora_name="nobody").json() == {"error": text}
    asked = [request(MODEL, "Hello", "1", lora_name="nobody")]
    ((_, error),) = asyncio.run(responses(keyed.grpc, asked, **AUTHORIZED))
    assert str(error) == text


@pytest.mark.parametrize(
    "parameter",
    [{"temperature": -1}, {"n": 2.5}, {"max_tokens": 100_000}, {"stop_token_ids": ["x"]}, {"seed": 2**70}],
    ids=lambda parameter: next(iter(parameter)),
)
def test_what_is_refused_is_refused_in_vllms_words(keyed: Serving, parameter: dict[str, Any]) -> None:
    body = {"model": MODEL, "prompt": PROMPT["text_input"], "temperature": 0, "stream": False, **parameter}
    answer = httpx2.post(f"{keyed.url}/v1/completions", json=body, headers=AUTHORIZED, timeout=60)
    told = generate(keyed, sampling_parameters=json.dumps({"temperature": 0, **parameter}))
    assert told.json() == {"error": f"Error generating stream: {answer.json()['error']['message']}"}


def test_a_full_queue_is_a_reason_to_try_elsewhere(keyed: Serving) -> None:
    with ThreadPoolExecutor(max_workers=12) as pool:
        asked = [pool.submit(generate, keyed, max_tokens=2000, ignore_eos=True) for _ in range(12)]
        wait_until(lambda: keyed.running() == 2)

        async def infer() -> str:
            async with aio.InferenceServerClient(keyed.grpc) as client:
                try:
                    await client.infer(**request(MODEL, "Hello", "1"), headers=AUTHORIZED)
                except InferenceServerException as error:
                    return str(error.status())
            return ""

        assert asyncio.run(infer()) == "StatusCode.UNAVAILABLE"
        statuses = Counter(one.result().status_code for one in asked)
    assert statuses.keys() == {200, 503}
    assert next(one.result() for one in asked if one.result().status_code == 503).json().keys() == {"error"}
