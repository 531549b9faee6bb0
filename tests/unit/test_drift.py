import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlservice.api.meta import ANNOTATION_APPLIED
from mlservice.plan.drift import contains, first_difference, stamped

JSON = st.recursive(
    st.text(max_size=4)
    | st.from_regex(r"[0-9]{1,3}[eE]-?[0-9]{1,20}(m|Ki)?", fullmatch=True)
    | st.integers()
    | st.booleans(),
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


@pytest.mark.parametrize("field", ["limits", "requests"])
def test_quantities_compare_by_amount(field):
    live = {field: {"cpu": "500m", "memory": "1Gi", "gpu": "1"}}
    assert contains(live, {field: {"cpu": "0.5", "memory": "1024Mi", "gpu": 1}})
    assert not contains(live, {field: {"cpu": "501m"}})
    assert first_difference(live, {field: {"cpu": "0.5", "gpu": 2}}) == f"{field}.gpu"


def test_what_only_looks_like_a_quantity_is_a_string():
    assert not contains({"env": [{"name": "A", "value": "1000m"}]}, {"env": [{"name": "A", "value": "1"}]})
    assert not contains({"version": "1.0"}, {"version": "1"})


def test_hash_of_digits_with_one_e_is_no_number_too_large():
    assert not contains({"applied": "3128e90517264093"}, {"applied": "0123456789abcdef"})


@given(JSON, JSON)
def test_every_value_can_be_compared_as_a_quantity(live, wanted):
    contains({"limits": live}, {"limits": wanted})
    first_difference({"limits": live}, {"limits": wanted})


def test_removed_field_changes_the_stamp():
    full = stamped({"metadata": {"name": "a"}, "spec": {"x": 1, "y": 2}})
    less = stamped({"metadata": {"name": "a"}, "spec": {"x": 1}})
    assert full["metadata"]["annotations"][ANNOTATION_APPLIED] != less["metadata"]["annotations"][ANNOTATION_APPLIED]
    assert not contains(full, less)
