"""A LoRA adapter with random weights for the tiny model, as peft writes it."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "examples" / "quickstart"))

from make_model import CONFIG, safetensors

RANK = 8
TARGETS = ("q_proj", "v_proj")


def write_adapter(folder: Path) -> None:
    """Write it; its scale is large, so that its answers differ from the model's."""
    folder.mkdir(parents=True)
    hidden = CONFIG["hidden_size"]
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in range(CONFIG["num_hidden_layers"]):
        for target in TARGETS:
            name = f"base_model.model.model.layers.{layer}.self_attn.{target}"
            shapes |= {f"{name}.lora_A.weight": (RANK, hidden), f"{name}.lora_B.weight": (hidden, RANK)}
    (folder / "adapter_model.safetensors").write_bytes(safetensors(shapes))
    config = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": RANK, "lora_alpha": 64 * RANK, "bias": "none"}
    (folder / "adapter_config.json").write_text(json.dumps({**config, "target_modules": TARGETS}))
