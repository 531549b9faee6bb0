"""A client as NVIDIA's sample client for vLLM: the same requests in both generations, the same results.txt.

python triton_client.py -m llama2vllm -u localhost:8001
"""

import argparse
import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
from tritonclient.grpc import aio

PROMPTS = (
    "Hello, my name is\n",
    "The most dangerous animal is\n",
    "The capital of France is\n",
    "The future of AI is\n",
)


def tensor(name: str, value: bytes | bool) -> aio.InferInput:
    datatype, kind = ("BOOL", bool) if isinstance(value, bool) else ("BYTES", np.object_)
    made = aio.InferInput(name, [1], datatype)
    made.set_data_from_numpy(np.array([value], dtype=kind))
    return made


def request(
    model: str, text: str, identifier: str, stream: bool = False, generation: str = "today", **sampling: Any
) -> dict[str, Any]:
    """Arguments of infer() and stream_infer(): three inputs in 23.11, four today; all values of `sampling` are text."""
    parameters = {name: str(value) for name, value in sampling.items()}
    inputs = [
        tensor("text_input", text.encode()),
        tensor("stream", stream),
        tensor("sampling_parameters", json.dumps(parameters).encode()),
    ]
    if generation == "today":
        inputs.append(tensor("exclude_input_in_output", stream))
    return {
        "model_name": model,
        "inputs": inputs,
        "outputs": [aio.InferRequestedOutput("text_output")],
        "request_id": identifier,
        "parameters": parameters,
    }


async def responses(
    address: str, requests: list[dict[str, Any]], authority: str = "", **metadata: str
) -> list[tuple[Any, Any]]:
    """Send requests on one stream without waiting; what came back, in that order.

    `authority` is the host name under which a Gateway at `address` knows the server.
    """
    options = [("grpc.default_authority", authority)] if authority else None

    async def sent() -> AsyncIterator[dict[str, Any]]:
        for one in requests:
            yield one

    async with aio.InferenceServerClient(address, channel_args=options) as client:
        return [pair async for pair in client.stream_infer(sent(), headers=metadata or None)]


def write_results(address: str, model: str, generation: str, file: Path, authority: str = "") -> None:
    """All prompts on one stream; the answers in the file, by prompt. Raises InferenceServerException for an error."""
    sampling = {"temperature": "0.1", "top_p": "0.95"} | ({"max_tokens": "100"} if generation == "today" else {})
    requests = [request(model, text, str(at), generation=generation, **sampling) for at, text in enumerate(PROMPTS)]
    texts: dict[str, list[str]] = {str(at): [] for at in range(len(PROMPTS))}
    for result, error in asyncio.run(responses(address, requests, authority)):
        if error:
            raise error
        output = result.as_numpy("text_output")
        texts[result.get_response().id] += [part.decode() for part in output]
    with file.open("w") as results:
        for parts in texts.values():
            results.write("".join(f"{part}\n" for part in parts) + "\n=========\n\n")


def main() -> None:
    """Ask all prompts, and show the file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("-m", "--model", default="vllm_model")
    parser.add_argument("-u", "--url", default="localhost:8001")
    parser.add_argument("--authority", default="", help="host name of a GRPCRoute, where the URL is that of a Gateway")
    parser.add_argument("--generation", choices=["23.11", "today"], default="today")
    parser.add_argument("--results-file", type=Path, default=Path("results.txt"))
    chosen = parser.parse_args()
    write_results(chosen.url, chosen.model, chosen.generation, chosen.results_file, chosen.authority)
    print(f"{len(PROMPTS)} answers are in {chosen.results_file}")


if __name__ == "__main__":
    main()
