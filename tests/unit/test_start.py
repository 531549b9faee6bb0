"""What the launcher's child finds out before it becomes vLLM."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from mlservice_runtime import start

Ask = Callable[[object], object]


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SimpleNamespace:
    """vLLM's registry with one model; what it does not have in its cache it asks another process."""
    (tmp_path / "config.json").write_text(json.dumps({"architectures": ["Llama"]}))
    monkeypatch.setattr(sys, "argv", ["vllm", "serve", str(tmp_path)])
    fake = SimpleNamespace(_run_in_subprocess=lambda _: "asked", ModelRegistry=SimpleNamespace(models={}))
    monkeypatch.setitem(sys.modules, "vllm.model_executor.models.registry", fake)
    return fake


def test_a_model_that_vllm_has_in_its_cache_is_known(registry: SimpleNamespace) -> None:
    registry.ModelRegistry.models["Llama"] = SimpleNamespace(inspect_model_cls=lambda: "from the cache")
    assert start.model_known()


def test_a_model_that_vllm_would_ask_another_process_about_is_not(registry: SimpleNamespace) -> None:
    model = SimpleNamespace(inspect_model_cls=lambda: registry._run_in_subprocess(print))
    registry.ModelRegistry.models["Llama"] = model
    assert not start.model_known()
    assert model.inspect_model_cls() == "asked"  # vLLM can ask as before


def test_an_unknown_model_is_left_to_vllm(registry: SimpleNamespace) -> None:
    assert not start.model_known()


def test_torch_names_its_ptxas_before_anything_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    called = []
    fake = SimpleNamespace(_set_triton_ptxas_path=lambda: called.append(True))
    monkeypatch.setitem(sys.modules, "torch._inductor.runtime.compile_tasks", fake)
    start.one_assembler()
    assert called


@pytest.mark.parametrize("module", [None, SimpleNamespace()])
def test_a_torch_that_has_no_ptxas_to_name_is_left_alone(monkeypatch: pytest.MonkeyPatch, module: object) -> None:
    monkeypatch.setitem(sys.modules, "torch._inductor.runtime.compile_tasks", module)
    start.one_assembler()
