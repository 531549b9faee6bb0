"""Writes a tiny Llama with random weights: everything about it is real except its words.

The architecture, the tokenizer, the chat template and the file formats are those of any Llama on a model hub, so vLLM
loads it as it loads a large one. It has 0.4 million parameters (0.8 MB) and was never trained: its answers are noise.

    python examples/quickstart/make_model.py DESTINATION
"""

import argparse
import json
import random
import struct
from pathlib import Path
from typing import Any

SEED = 42
SPECIAL = ("<s>", "</s>", "<unk>", "<|user|>", "<|assistant|>", "<|system|>")
CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "dtype": "bfloat16",
    "vocab_size": 262,  # the special tokens and one for each byte
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,  # heads of 64: one of the sizes that vLLM's CPU attention knows
    "num_key_value_heads": 2,
    "head_dim": 64,
    "hidden_act": "silu",
    "max_position_embeddings": 4096,
    "rms_norm_eps": 1e-05,
    "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
    "tie_word_embeddings": False,
    "attention_bias": False,
    "mlp_bias": False,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "use_cache": True,
}
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}{{ eos_token }}"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def main() -> None:
    """Write the model's files into the folder that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("destination", type=Path)
    destination = parser.parse_args().destination
    write_model(destination)
    size = sum(file.stat().st_size for file in destination.iterdir()) / 1e6
    print(f"{destination}: a Llama with random weights ({size:.1f} MB). Its words will be noise.")


def write_model(destination: Path) -> None:
    """Write config, weights and tokenizer as Hugging Face transformers lays them out; the same bytes every time."""
    destination.mkdir(parents=True, exist_ok=True)
    (destination / "model.safetensors").write_bytes(safetensors(weights()))
    files: dict[str, Any] = {
        "config.json": CONFIG,
        "generation_config.json": {"bos_token_id": 0, "eos_token_id": 1},
        "tokenizer.json": tokenizer(),
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": "<s>",
            "eos_token": "</s>",
            "unk_token": "<unk>",
            "model_max_length": CONFIG["max_position_embeddings"],
            "clean_up_tokenization_spaces": False,
            "chat_template": CHAT_TEMPLATE,
        },
    }
    for name, content in files.items():
        (destination / name).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def weights() -> dict[str, tuple[int, ...]]:
    """The shape of every tensor of the architecture, by the name that Llama checkpoints give it."""
    hidden, inner, vocabulary = CONFIG["hidden_size"], CONFIG["intermediate_size"], CONFIG["vocab_size"]
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (vocabulary, hidden),
        "model.norm.weight": (hidden,),
        "lm_head.weight": (vocabulary, hidden),
    }
    for number in range(CONFIG["num_hidden_layers"]):
        layer = f"model.layers.{number}"
        for projection in ("q_proj", "k_proj", "v_proj", "o_proj"):
            shapes[f"{layer}.self_attn.{projection}.weight"] = (hidden, hidden)
        shapes[f"{layer}.mlp.gate_proj.weight"] = (inner, hidden)
        shapes[f"{layer}.mlp.up_proj.weight"] = (inner, hidden)
        shapes[f"{layer}.mlp.down_proj.weight"] = (hidden, inner)
        shapes[f"{layer}.input_layernorm.weight"] = (hidden,)
        shapes[f"{layer}.post_attention_layernorm.weight"] = (hidden,)
    return shapes


def safetensors(shapes: dict[str, tuple[int, ...]]) -> bytes:
    """A safetensors file: length of the header (8 bytes, little endian), the header as JSON, then the tensors."""
    draw = random.Random(SEED)  # noqa: S311
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    body = bytearray()
    for name, shape in sorted(shapes.items()):
        count = shape[0] * (shape[1] if len(shape) == 2 else 1)
        values = [1.0] * count if len(shape) == 1 else [draw.gauss(0, 0.08) for _ in range(count)]
        begin = len(body)
        body += bfloat16(values)
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [begin, len(body)]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + bytes(body)


def bfloat16(values: list[float]) -> bytes:
    """The upper halves of 32-bit floats, which is what bfloat16 is."""
    singles = struct.pack(f"<{len(values)}f", *values)
    return b"".join(singles[at + 2 : at + 4] for at in range(0, len(singles), 4))


def tokenizer() -> dict[str, Any]:
    """A byte-level BPE without merges: one token for each byte, so any text in any language can be written."""
    vocabulary = {token: number for number, token in enumerate((*SPECIAL, *byte_alphabet()))}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": number, "content": token, "special": True, "normalized": False}
            | dict.fromkeys(("single_word", "lstrip", "rstrip"), False)
            for number, token in enumerate(SPECIAL)
        ],
        "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": "<unk>",
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": vocabulary,
            "merges": [],
        },
    }


def byte_alphabet() -> list[str]:
    """The 256 characters that stand for bytes in byte-level BPE, as GPT-2 defined them (`bytes_to_unicode`)."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    spare = iter(range(256, 512))
    return [chr(byte if byte in printable else next(spare)) for byte in range(256)]


if __name__ == "__main__":
    main()
