"""What a field of the API carries beside its type: rules, and marks that say it has no effect.

Rules are CEL (https://kubernetes.io/docs/reference/using-api/cel/) and are evaluated by the API server when an object
is written, so that a mistake is refused with a sentence. The server estimates what a rule costs before it accepts the
CRD: every string, list and map under a rule needs a bound.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field, GetJsonSchemaHandler
from pydantic_core import CoreSchema

Schema = dict[str, Any]
Change = Callable[[Schema], None]

ANYTHING: Schema = {"nullable": True, "x-kubernetes-preserve-unknown-fields": True}
"""Any JSON value."""


def rule(cel: str, message: str, **more: str) -> Schema:
    """One rule; `more` may hold a messageExpression, a reason, and the fieldPath at which the refusal is shown."""
    return {"rule": cel, "message": message, **more}


def checked(*rules: Schema, asked_for: Sequence[str] = ()) -> Change:
    """Add rules to a schema; `asked_for` are required fields that one of the rules asks for, in words.

    They become optional in the CRD: the API server evaluates no rule where a required field is missing, and its own
    message says only that it is.
    """

    def change(schema: Schema) -> None:
        if rules:
            schema["x-kubernetes-validations"] = list(rules)
        for name in asked_for:
            schema["required"].remove(name)
            schema["properties"][name]["nullable"] = True

    return change


def in_words(message: str) -> Change:
    """Let a rule with this message take the place of the field's pattern, or of its enum, in the CRD.

    An enum refuses null, also where the field is nullable and null stands in the enum.
    """

    def change(schema: Schema) -> None:
        if words := schema.pop("enum", None):
            schema["maxLength"] = 64
            cel = f"self in {words}"
        else:
            cel = f"self.matches(r'{schema.pop('pattern')}')"
        schema["x-kubernetes-validations"] = [rule(cel, message)]

    return change


ObjectName = Annotated[
    str,
    Field(
        pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$",
        min_length=1,
        max_length=253,
        json_schema_extra=in_words(
            "a name of a Kubernetes object has lower case letters, digits, '-' and '.' only, and begins and ends with "
            "a letter or digit"
        ),
    ),
]
"""Name of another object in the same namespace."""


@dataclass(frozen=True)
class Mark:
    """On a field that has no effect; `advice` ends the sentence of the warning that names the field."""

    advice: str


class NotServed(Mark):
    """A field whose feature this version lacks; the advice says what happens instead."""


Unread = Annotated[Any, Field(exclude=True)]
"""Type of a field that is kept and never read, so that a change of it changes nothing."""


class LeftOver(Mark):
    """A field of an older generation of the API, kept as it is; the advice says what replaced it."""

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> Schema:
        return {**ANYTHING, "description": f"Deprecated and without effect: {self.advice}."}
