"""The runtime's settings, keys, route table and activity."""

import re
from dataclasses import Field, fields
from pathlib import Path
from typing import Any

import pytest
from mlservice_runtime.access import Access, access
from mlservice_runtime.activity import Activity
from mlservice_runtime.completion import PARAMETERS
from mlservice_runtime.keys import Keys
from mlservice_runtime.settings import PREFIX, Settings

PAGE = (Path(__file__).parents[2] / "docs" / "runtime.md").read_text()


@pytest.mark.parametrize("field", fields(Settings), ids=lambda field: field.name)
def test_every_setting_is_documented_with_its_default(field: Field[Any]) -> None:
    default = field.default
    shown = int(default) if isinstance(default, bool) else default
    assert f"| `{PREFIX}{field.name.upper()}` | `{shown}` |" in PAGE


def test_every_sampling_parameter_is_documented() -> None:
    (listed,) = re.findall(r"of these names:(.*?)\. Text", PAGE, re.DOTALL)
    assert re.findall(r"`(\w+)`", listed) == sorted(PARAMETERS)


def test_settings_are_read_from_the_environment() -> None:
    found = Settings.read({"PATH": "/bin", f"{PREFIX}GRPC_PORT": "0", f"{PREFIX}ADMIN_ROUTES": "1"})
    assert (found.grpc_port, found.admin_routes, found.http_port) == (0, True, 8000)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("GRPC_PORTS", "1", "MLSERVICE_RUNTIME_GRPC_PORTS is no setting. There are: MLSERVICE_RUNTIME_ADMIN_ROUTES, "),
        ("GRPC_PORT", "-1", "MLSERVICE_RUNTIME_GRPC_PORT is '-1'. It must be a number, 0 or more."),
        ("KEYED_METRICS", "yes", "MLSERVICE_RUNTIME_KEYED_METRICS is 'yes'. It must be 0 or 1."),
    ],
)
def test_a_setting_that_cannot_be_read_is_named(name: str, value: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        Settings.read({PREFIX + name: value})


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/health", Access.HEALTH),
        ("/v2/health/ready", Access.HEALTH),
        ("/v2/models/org/name/ready", Access.HEALTH),
        ("/v1/completions", Access.ENGINE),
        ("/v2/models/m/generate", Access.KEYED),
        ("/v2/models/m/ready/generate", Access.KEYED),
        ("/health/../v1/completions", None),
        ("/scale_elastic_ep", Access.ADMIN),
        ("/healthz", None),
        ("/v1/completions\n", None),
    ],
)
def test_the_table_of_routes(path: str, kind: Access | None) -> None:
    assert access(path) is kind


def test_keys() -> None:
    assert Keys([""]).accept(None)
    keys = Keys(["one", "two"])
    assert [keys.accept(given) for given in ("Bearer one", b"bearer two", "Bearer three", "one", None)] == [
        True,
        True,
        False,
        False,
        False,
    ]


def test_only_what_waits_for_the_engine_counts_as_waiting() -> None:
    now = 100.0
    activity = Activity(clock=lambda: now)
    assert activity.longest_wait() == 0
    activity.wait("a")
    now = 107.0
    activity.wait("b")
    activity.wait("a")
    assert activity.longest_wait() == 7
    activity.stop_waiting("a")
    assert activity.longest_wait() == 0
    with activity.request():
        assert activity.in_flight == 1
    assert activity.in_flight == 0
