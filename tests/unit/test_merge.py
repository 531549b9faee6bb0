"""Strategic merge by example; tests/api/test_merge.py compares it with the API server's own on generated pods."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlservice.api.reasons import Reason
from mlservice.plan.merge import MERGE_KEYS, strategic_merge
from mlservice.plan.world import Invalid

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


def test_replacing_what_is_not_there_keeps_what_the_user_wrote() -> None:
    """The API server drops such a map whole, without a word."""
    assert merged(securityContext={"$patch": "replace", "fsGroup": 1})["securityContext"] == {"fsGroup": 1}
    assert merged(containers=[{"name": "c", "securityContext": {"$patch": "delete"}}])["containers"][0] == {"name": "c"}


def test_elements_with_one_key_are_all_kept_and_the_first_is_changed() -> None:
    ports = [{"containerPort": 53, "protocol": "TCP"}, {"containerPort": 53, "protocol": "UDP"}]
    assert strategic_merge({"ports": ports}, {"ports": [{"containerPort": 53, "name": "dns"}]})["ports"] == [
        {"containerPort": 53, "protocol": "TCP", "name": "dns"},
        {"containerPort": 53, "protocol": "UDP"},
    ]


@pytest.mark.parametrize("field", ["tolerations", "args", "envFrom"])
def test_lists_without_a_merge_key_are_replaced(field: str) -> None:
    assert strategic_merge({field: [1, 2]}, {field: [3]}) == {field: [3]}


@pytest.mark.parametrize(
    ("base", "patch", "words"),
    [
        ({"volumes": [{"name": "v"}]}, {"volumes": ["w"]}, "predictor.template.volumes[0] is 'w': an object"),
        ({"volumes": ["v"]}, {"volumes": [{"name": "w"}]}, "the runtime's value of predictor.template.volumes[0] is"),
        (BASE, {"containers": [{"name": "a", "env": [{"value": "1"}]}]}, "containers[a].env[0] has no name"),
        (BASE, {"containers": [{"$patch": "delete"}]}, "containers[0] has no name"),
        (BASE, {"nodeSelector": {"$patch": "merge"}}, "nodeSelector.$patch is 'merge': it can be replace or delete"),
        (BASE, {"new": {"x": {"$patch": 1}}}, "new.x.$patch is 1"),
        (BASE, {"$setElementOrder/containers": []}, "$setElementOrder/containers, which is not supported"),
        (BASE, {"new": {"$deleteFromPrimitiveList/finalizers": []}}, "$deleteFromPrimitiveList/finalizers, which"),
        (BASE, {"nodeSelector": {"$retainKeys": "gpu"}}, "nodeSelector.$retainKeys is 'gpu': it must be a list"),
        (BASE, {"nodeSelector": {"$retainKeys": [], "gpu": "x"}}, "nodeSelector.$retainKeys lacks gpu"),
    ],
)
def test_a_patch_that_cannot_be_merged_is_an_error_that_names_the_place(base, patch, words) -> None:
    with pytest.raises(Invalid) as raised:
        strategic_merge(base, patch)
    assert raised.value.finding.reason == Reason.PATCH_INVALID
    assert words in raised.value.finding.message


FIELDS = st.sampled_from([*MERGE_KEYS, "name", "args", "x", "$patch", "$retainKeys", "$setElementOrder/env"]) | st.text(
    max_size=3
)
JSON = st.recursive(
    st.text(max_size=3) | st.integers() | st.sampled_from([None, "replace", "delete", "a"]),
    lambda v: st.dictionaries(FIELDS, v, max_size=3) | st.lists(v, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(FIELDS, JSON, max_size=4), st.dictionaries(FIELDS, JSON, max_size=4))
def test_whatever_is_merged_nothing_else_is_raised_and_nothing_given_is_changed(base, patch) -> None:
    before = repr((base, patch))
    try:
        strategic_merge(base, patch)
    except Invalid as invalid:
        assert invalid.finding.reason == Reason.PATCH_INVALID
    assert repr((base, patch)) == before


PLAIN = st.recursive(
    st.text() | st.integers(), lambda v: st.dictionaries(st.text(max_size=3), v, max_size=3), max_leaves=8
)


@given(st.dictionaries(st.text(max_size=3), PLAIN, max_size=4))
def test_merging_twice_changes_nothing_more(patch: dict[str, object]) -> None:
    once = strategic_merge(BASE, patch)
    assert strategic_merge(once, patch) == once
    assert strategic_merge(BASE, {}) == BASE
