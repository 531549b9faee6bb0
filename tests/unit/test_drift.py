from hypothesis import given
from hypothesis import strategies as st
from mlservice.api.meta import ANNOTATION_APPLIED
from mlservice.plan.drift import contains, stamped

JSON = st.recursive(
    st.text(max_size=4) | st.integers() | st.booleans(),
    lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=3), v, max_size=3),
    max_leaves=10,
)


@given(JSON)
def test_everything_contains_itself(value):
    assert contains(value, value)


def test_defaults_and_other_managers_fields_do_not_count():
    live = {"a": 1, "b": [{"name": "x", "more": 1}, {"name": "sidecar"}], "c": "default"}
    assert contains(live, {"a": 1, "b": [{"name": "x"}]})


def test_changed_and_missing_fields_count():
    assert not contains({"a": 1}, {"a": 2})
    assert not contains({}, {"a": 2})
    assert not contains({"args": ["a", "b"]}, {"args": ["a"]})
    assert not contains({"b": [{"name": "y"}]}, {"b": [{"name": "x"}]})


def test_what_is_empty_may_be_absent():
    assert contains({}, {"readOnly": False, "labels": {}, "command": []})


def test_quantities_compare_by_amount():
    assert contains({"cpu": "500m", "memory": "1Gi", "gpu": "1"}, {"cpu": "0.5", "memory": "1024Mi", "gpu": 1})
    assert not contains({"cpu": "500m"}, {"cpu": "501m"})


def test_removed_field_changes_the_stamp():
    full = stamped({"metadata": {"name": "a"}, "spec": {"x": 1, "y": 2}})
    less = stamped({"metadata": {"name": "a"}, "spec": {"x": 1}})
    assert full["metadata"]["annotations"][ANNOTATION_APPLIED] != less["metadata"]["annotations"][ANNOTATION_APPLIED]
    assert not contains(full, less)
