"""What the API server stores is read, however deep; what is nested beyond reason is refused in words."""

import json
import subprocess
import sys

import pytest
from builders import a_runtime, a_service, a_world, condition, planned
from mlservice.api.pod import DEEPEST
from pydantic import ValidationError

STORED = 9_980
"""Levels of the deepest object that the API server stores and reads again."""

READING = f"""
import json
from mlservice.cluster.deep_json import read_deep_json
read_deep_json()
for opening, closing in (('[', ']'), ('{{"a":', '}}')):
    value = json.loads(opening * {STORED} + '1' + closing * {STORED})
    levels = 0
    while value != 1:
        value, levels = value[0] if opening == '[' else value['a'], levels + 1
    print(levels)
try:
    json.loads('[' * {STORED})
except ValueError:
    print('unfinished')
"""


def deep(levels):
    return json.loads('{"a":' * (levels - 1) + "{}" + "}" * (levels - 1))


def test_json_is_read_as_deep_as_it_is_stored():
    """In a process of its own, since it changes the parser of the whole process."""
    done = subprocess.run([sys.executable, "-c", READING], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(STORED), str(STORED), "unfinished"]


def test_deep_patch_of_a_service_cannot_be_read():
    levels = DEEPEST - len(["template", "spec", "affinity"]) + 1
    assert condition(planned(a_world(a_service().patched(affinity=deep(levels)))), "Ready")["reason"]
    with pytest.raises(ValidationError, match="nested deeper than 100 levels"):
        a_world(a_service().patched(affinity=deep(levels + 1)))


def test_deep_runtime_is_named():
    runtime = a_runtime(affinity=deep(DEEPEST))
    ready = condition(planned(a_world(runtimes=(runtime,))), "Ready")
    assert ready["reason"] == "RuntimeInvalid"
    assert "MLServiceRuntime vllm-openai cannot be read: spec.template: Value error, nested deeper" in ready["message"]
