"""Which CUDA graphs vLLM is told to capture, and when it is left to itself."""

from itertools import pairwise

import pytest
from mlservice_runtime.cuda_graphs import LARGEST, SIZES, capture_sizes

VLLM_SIZES = (1, 2, 4, *range(8, 256, 8), *range(256, 513, 16))


def sizes(*arguments: str) -> list[int]:
    return [int(size) for size in capture_sizes(["/model", *arguments])[1:]]


def test_half_as_many_graphs_for_the_same_batches() -> None:
    assert sizes() == list(SIZES)
    assert set(SIZES) < set(VLLM_SIZES)
    assert len(SIZES) <= len(VLLM_SIZES) * 0.55
    assert sizes()[-1] == LARGEST


def test_above_128_no_batch_is_filled_up_by_more_than_an_eighth() -> None:
    for below, above in pairwise(SIZES):
        assert below < 128 or above - (below + 1) <= (below + 1) / 8


@pytest.mark.parametrize(("sequences", "largest"), [("64", 128), ("256", 512), ("1000", 512), ("1", 2), ("100", 200)])
@pytest.mark.parametrize("written", ["--max-num-seqs={}", "--max-num-seqs {}", "--max_num_seqs={}"])
def test_no_graph_is_larger_than_vllm_would_make_it(written: str, sequences: str, largest: int) -> None:
    found = sizes(*written.format(sequences).split())
    assert found[-1] == largest
    assert found == sorted(set(found))


@pytest.mark.parametrize(
    "argument",
    [
        "--enforce-eager",
        "--cudagraph-capture-sizes 1 2",
        "--max_cudagraph_capture_size=8",
        "--compilation-config={}",
        "-cc.mode=3",
        "-O1",
        "--config=a.yaml",
        "--speculative-config={}",
        "--performance-mode=throughput",
        "--max-num-seqs=many",
    ],
)
def test_what_the_user_says_about_graphs_stands(argument: str) -> None:
    assert capture_sizes(["/model", *argument.split()]) == []
