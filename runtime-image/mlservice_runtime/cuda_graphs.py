"""Fewer CUDA graphs than vLLM captures by itself, for the same batches.

vLLM captures a graph for every eighth batch size up to 256 and every sixteenth up to 512: 51 sizes, more than a tenth
of a second each, at every start. A batch runs in the graph of the next larger size, filled up. Up to 128 that costs
nothing that can be measured, because a step's time goes into reading the weights; above, a fifth of what is filled up
(docs/startup.md). So the steps are wide below and half as fine as vLLM's own above.
"""

from mlservice_runtime.weights import value_of

SIZES = (1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, *range(144, 256, 16), *range(256, 513, 32))
LARGEST = 512
"""vLLM's own bound: the smaller of this and twice --max-num-seqs."""
CHOSEN = (
    "--cudagraph-capture-sizes",
    "--max-cudagraph-capture-size",
    "--compilation-config",
    "-cc",
    "-O",
    "--enforce-eager",
    "--performance-mode",
    "--speculative-config",
    "--config",
)
"""Arguments by which the user decides on graphs; with one of them vLLM's own choice stands."""


def capture_sizes(arguments: list[str]) -> list[str]:
    """What to add to the arguments of `vllm serve`: nothing where the user has decided."""
    if any(argument.replace("_", "-").startswith(CHOSEN) for argument in arguments):
        return []
    sequences = value_of(arguments, "--max-num-seqs") or value_of(arguments, "--max_num_seqs") or str(LARGEST)
    if not sequences.isdecimal() or not int(sequences):
        return []
    largest = min(2 * int(sequences), LARGEST)
    sizes = [size for size in SIZES if size < largest]
    return ["--cudagraph-capture-sizes", *map(str, [*sizes, largest])]
