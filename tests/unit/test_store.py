"""What the stores hold after watches, lists and answers in any order."""

from typing import Any

from mlservice.api.meta import Object
from mlservice.cluster.resources import SERVICE
from mlservice.cluster.store import Store

KEY = ("n", "a")


def an_object(version: int, uid: str = "u1", owner: str = "llama", **more: Any) -> Object:
    metadata = {"namespace": "n", "name": "a", "uid": uid, "resourceVersion": str(version), "labels": {"owner": owner}}
    return {"metadata": metadata, **more}


class Rung(list[str]):
    """Owners whose doorbell was rung."""

    def __call__(self, obj: Object) -> None:
        self.append(obj["metadata"]["labels"]["owner"])


def a_store(rung: Rung) -> Store:
    return Store(SERVICE, rung, owner=lambda obj: ("n", obj["metadata"]["labels"]["owner"]))


def version(store: Store) -> str | None:
    found = store.get(KEY)
    return found["metadata"]["resourceVersion"] if found else None


def test_older_version_changes_nothing_and_rings_nobody() -> None:
    store = a_store(rung := Rung())
    store.put(an_object(5))
    store.put(an_object(4))
    store.put(an_object(5))
    assert (version(store), rung) == ("5", ["llama"])


def test_answer_to_its_own_write_is_stored_and_rings_nobody_not_even_when_a_watch_tells_it_again() -> None:
    store = a_store(rung := Rung())
    store.put(an_object(5), quietly=True)
    store.put(an_object(5))
    assert (version(store), rung) == ("5", [])


def test_what_is_handed_out_is_a_copy() -> None:
    store = a_store(Rung())
    store.put(an_object(5, spec={"ports": [80]}))
    store.owned_by(("n", "llama"))[0]["spec"]["ports"].clear()
    assert store.owned_by(("n", "llama")) == [store.get(KEY)] != [None]
    assert next(iter(store))["spec"] == {"ports": [80]}


def test_answer_that_comes_after_the_deletion_brings_nothing_back() -> None:
    store = a_store(Rung())
    store.put(an_object(5))
    store.remove(an_object(7))
    store.put(an_object(6))
    assert (version(store), store.owned_by(("n", "llama")), len(store)) == (None, [], 0)


def test_object_that_had_only_lost_its_label_comes_back() -> None:
    store = a_store(Rung())
    store.put(an_object(5))
    store.remove(an_object(7))
    store.put(an_object(8))
    assert version(store) == "8"


def test_deletion_of_the_former_object_of_a_name_leaves_the_new_one() -> None:
    store = a_store(Rung())
    store.put(an_object(9, uid="u2"))
    store.remove(an_object(8, uid="u1"))
    assert version(store) == "9"


def test_both_owners_hear_of_a_child_that_changes_hands() -> None:
    store = a_store(rung := Rung())
    store.put(an_object(5, owner="llama"))
    store.put(an_object(6, owner="qwen"))
    assert rung == ["llama", "llama", "qwen"]
    assert (store.owned_by(("n", "llama")), len(store.owned_by(("n", "qwen")))) == ([], 1)


def test_object_nested_deeper_than_bytes_can_say_is_kept_all_the_same() -> None:
    store = a_store(Rung())
    deep: Object = {}
    for _ in range(5000):
        deep = {"more": deep}
    store.put(an_object(5, spec=deep))
    assert version(store) == "5"
