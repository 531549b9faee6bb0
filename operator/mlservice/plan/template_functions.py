"""The functions that a template may call; each answers what Go's function of that name answers.

`quote` is Sprig's, which Helm users know. Values are strings and booleans, so `eq` compares within one of the two only.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from mlservice.plan.template_lexer import TemplateError

LONGEST = 1_048_576
"""Characters that a template may become, which is about what etcd stores of an object. A value that is written often
enough would fill the memory of the operator, and so end the work for everybody."""

TOO_LONG = f"the template becomes longer than {LONGEST} characters: no object may be that large"

ESCAPES = {7: r"\a", 8: r"\b", 12: r"\f", 10: r"\n", 13: r"\r", 9: r"\t", 11: r"\v", 92: r"\\", 34: r"\""}


class Unset(str):
    """A parameter that nobody set: empty where it is compared or asked for, an error where it would be printed."""

    __slots__ = ("key",)
    key: str

    def __new__(cls, key: str) -> "Unset":
        unset = super().__new__(cls)
        unset.key = key
        return unset


class Missing(Exception):
    """An unset parameter would be printed."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


Value = str | bool


@dataclass(frozen=True)
class Function:
    call: Callable[[Sequence[Value]], Value]
    least: int = 0
    """Fewest arguments."""
    most: int | None = None
    """Most arguments; None is any number."""

    def on(self, values: Iterable[Value]) -> Value:
        """The value of the call. Raises TemplateError, also when the arguments are too long in all."""
        arguments: list[Value] = []
        length = 0
        for value in values:
            length += len(value) if isinstance(value, str) else 0
            if length > LONGEST:
                raise TemplateError(TOO_LONG)
            arguments.append(value)
        return self.call(arguments)

    def miscounted(self, count: int) -> str:
        """How many arguments there should be; empty when `count` is right."""
        if count >= self.least and (self.most is None or count <= self.most):
            return ""
        noun = "argument" if self.least == 1 else "arguments"
        return f"{'' if self.most == self.least else 'at least '}{self.least} {noun}"


def within_bounds(texts: Iterable[str]) -> str:
    """The texts one after the other. Raises TemplateError as soon as they are too long."""
    found, length = [], 0
    for part in texts:
        length += len(part)
        if length > LONGEST:
            raise TemplateError(TOO_LONG)
        found.append(part)
    return "".join(found)


def text(value: Value) -> str:
    """The value as it is printed. Raises Missing."""
    if isinstance(value, Unset):
        raise Missing(value.key)
    return str(value).lower() if isinstance(value, bool) else value


def quoted(value: Value) -> str:
    """The value as a Go string literal (fmt's %q)."""
    return '"' + "".join(_quoted(c) for c in text(value)) + '"'


def _quoted(character: str) -> str:
    code = ord(character)
    if code in ESCAPES:
        return ESCAPES[code]
    if character.isprintable():
        return character
    if code < 128:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _equal(values: Sequence[Value]) -> bool:
    for other in values[1:]:
        if isinstance(other, bool) != isinstance(values[0], bool):
            raise TemplateError("eq and ne compare two strings, or two of true and false")
        if values[0] == other:
            return True
    return False


def _print(values: Sequence[Value]) -> str:
    """Values side by side; a space between two that are no strings (fmt.Sprint)."""
    apart = [" " if isinstance(a, bool) and isinstance(b, bool) else "" for a, b in pairwise(values)]
    return "".join(space + text(value) for space, value in zip(["", *apart], values, strict=False))


def _printf(values: Sequence[Value]) -> str:
    form, rest = values[0], iter(values[1:])
    if isinstance(form, bool):
        raise TemplateError("the first argument of printf is its format, a string")

    def verb(match: re.Match[str]) -> str:
        if match[0] == "%%":
            return "%"
        value = next(rest, None) if match[0] in ("%s", "%q", "%v") else None
        if value is None or (isinstance(value, bool) and match[0] != "%v"):
            raise TemplateError(
                f"{match[0]} of printf is not supported or lacks its argument: %s and %q take a string, %v anything"
            )
        return quoted(value) if match[0] == "%q" else text(value)

    result = re.sub(r"%.?", verb, text(form), flags=re.DOTALL)
    if next(rest, None) is not None:
        raise TemplateError("printf has more arguments than its format has verbs")
    return result


FUNCTIONS = {
    "not": Function(lambda values: not values[0], least=1, most=1),
    "eq": Function(_equal, least=2),
    "ne": Function(lambda values: not _equal(values), least=2, most=2),
    "print": Function(_print),
    "printf": Function(_printf, least=1),
    "quote": Function(lambda values: " ".join(quoted(v) for v in values)),
}
"""Functions whose arguments are all computed before the call."""

SHORT_CIRCUIT = {"and": False, "or": True}
"""Functions that return the first argument of this truth, or the last; what follows it is not computed."""
