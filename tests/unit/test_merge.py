import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlservice.plan.merge import strategic_merge

BASE = {
    "containers": [
        {"name": "a", "image": "1", "args": ["x"], "env": [{"name": "E", "value": "1"}]},
        {"name": "b", "image": "2"},
    ],
    "nodeSelector": {"gpu": "h200", "zone": "1"},
}


def merged(**patch: object) -> dict[str, object]:
    return strategic_merge(BASE, patch)


def test_containers_merge_by_name_and_args_are_replaced_whole() -> None:
    first, second = merged(containers=[{"name": "a", "args": ["y", "z"]}])["containers"]
    assert first == {"name": "a", "image": "1", "args": ["y", "z"], "env": [{"name": "E", "value": "1"}]}
    assert second == {"name": "b", "image": "2"}


def test_env_merges_by_name() -> None:
    patch = [{"name": "a", "env": [{"name": "E", "value": "2"}, {"name": "F", "value": "3"}]}]
    assert merged(containers=patch)["containers"][0]["env"] == [
        {"name": "E", "value": "2"},
        {"name": "F", "value": "3"},
    ]


def test_added_container_stands_first_as_the_api_server_has_it() -> None:
    assert [c["name"] for c in merged(containers=[{"name": "new"}])["containers"]] == ["new", "a", "b"]


def test_maps_merge_and_null_deletes() -> None:
    assert merged(nodeSelector={"zone": None, "pool": "x"})["nodeSelector"] == {"gpu": "h200", "pool": "x"}


def test_directives() -> None:
    assert merged(nodeSelector={"$patch": "replace", "only": "this"})["nodeSelector"] == {"only": "this"}
    assert [c["name"] for c in merged(containers=[{"name": "a", "$patch": "delete"}])["containers"]] == ["b"]
    assert merged(containers=[{"$patch": "replace"}, {"name": "c"}])["containers"] == [{"name": "c"}]
    assert merged(nodeSelector={"$retainKeys": ["gpu"], "gpu": "b200"})["nodeSelector"] == {"gpu": "b200"}


@pytest.mark.parametrize("field", ["tolerations", "args", "envFrom"])
def test_lists_without_a_merge_key_are_replaced(field: str) -> None:
    assert strategic_merge({field: [1, 2]}, {field: [3]}) == {field: [3]}


JSON = st.recursive(
    st.text() | st.integers(), lambda v: st.dictionaries(st.text(max_size=3), v, max_size=3), max_leaves=8
)


@given(st.dictionaries(st.text(max_size=3), JSON, max_size=4))
def test_merging_twice_changes_nothing_more(patch: dict[str, object]) -> None:
    once = strategic_merge(BASE, patch)
    assert strategic_merge(once, patch) == once
    assert strategic_merge(BASE, {}) == BASE
