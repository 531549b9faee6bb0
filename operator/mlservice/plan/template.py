"""The subset of Go's text/template that runtimes are written in; docs/templates.md describes it for users.

Whatever renders here renders to the same in Go with `missingkey=zero` (tests/unit/test_template_in_go.py compares the
two). Anything else is an error that names the construct and the place. Values are the strings of
`predictor.model.parameters`; one that is set to the empty string, or not set, is false in a condition.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from mlservice.api.reasons import Reason
from mlservice.plan.template_functions import (
    FUNCTIONS,
    LONGEST,
    SHORT_CIRCUIT,
    TOO_LONG,
    Missing,
    Unset,
    Value,
    text,
    within_bounds,
)
from mlservice.plan.template_lexer import OPEN, Action, TemplateError, Token, pieces
from mlservice.plan.world import Invalid

DEEPEST = 50
"""How deep conditions and parentheses may be nested: far above any real template, far below Python's own limit."""

MOST = 32_768
"""Characters that all strings with actions in them may have together. Each action costs time, and every service waits
while one is planned.
"""

KEPT = 1024
"""Longest template that is kept compiled, in characters: a runtime edited on and on must not fill the memory."""

BOOLEANS = {"true": True, "false": False}
QUOTED = 120
"""Characters of a template that an error quotes."""

Parameters = Mapping[str, str]
Expression = Callable[[Parameters], Value]
Node = Callable[[Parameters], str]


def render(value: Any, parameters: Parameters, place: str = "") -> Any:
    """Render every string of a JSON value (keys of maps stay as they are).

    `place` names the value in error messages, such as `spec.template.spec.containers[0].args[1]`.
    Raises Invalid with ParameterMissing or TemplateInvalid, also where it is longer than MOST, or becomes longer than
    LONGEST, in all.
    """
    templates = length = 0

    def rendered(value: Any, place: str) -> Any:
        nonlocal templates, length
        match value:
            case str():
                templates += len(value) if OPEN in value else 0
                if templates > MOST:
                    raise Invalid(
                        Reason.TEMPLATE_INVALID,
                        f"{place}: the strings with {OPEN} up to here have more than {MOST} characters: keep long "
                        "texts in a ConfigMap, and mount it",
                    )
                written = render_text(value, parameters, place)
                length += len(written)
                if length > LONGEST:
                    raise Invalid(Reason.TEMPLATE_INVALID, f"{place}: up to here {TOO_LONG}")
                return written
            case dict():
                return {k: rendered(v, f"{place}.{k}" if place else k) for k, v in value.items()}
            case list():
                return [rendered(v, f"{place}[{i}]") for i, v in enumerate(value)]
            case _:
                return value

    return rendered(value, place)


def render_text(template: str, parameters: Parameters, place: str = "") -> str:
    """Render one string; see `render`."""
    if OPEN not in template:
        return template
    try:
        compiled = _compiled if len(template) <= KEPT else _compiled.__wrapped__
        return compiled(template)(parameters)
    except Missing as missing:
        raise Invalid(
            Reason.PARAMETER_MISSING,
            f"{place}: the runtime needs parameter {missing.key}. Set model.parameters.{missing.key}, or give it a "
            f"default in the runtime: {{{{if .{missing.key}}}}}{{{{.{missing.key}}}}}{{{{else}}}}…{{{{end}}}}",
        ) from None
    except TemplateError as error:
        where = _short(error.source or template)
        raise Invalid(Reason.TEMPLATE_INVALID, f"{place}: {_short(error.problem)}, in {where}") from None


def _short(words: str) -> str:
    return words if len(words) <= QUOTED else f"{words[:QUOTED]}…"


@lru_cache(maxsize=512)
def _compiled(template: str) -> Node:
    return _Parser(pieces(template)).template()


class _Parser:
    """Turns pieces into functions of the parameters."""

    def __init__(self, items: Iterable[str | Action]) -> None:
        self.items = iter(items)

    def template(self) -> Node:
        body, end = self.block(0)
        if end is not None:
            raise TemplateError("there is no {{if}} that this belongs to", end.source)
        return body

    def block(self, depth: int) -> tuple[Node, Action | None]:
        """Read up to `else` or `end`; return what was read, and that action."""
        nodes: list[Node] = []
        for item in self.items:
            if isinstance(item, str):
                nodes.append(_constant(item))
            elif item.keyword in ("else", "end"):
                return _joined(nodes), item
            elif item.keyword == "if":
                nodes.append(self.conditional(item, depth + 1))
            else:
                nodes.append(_printed(item))
        return _joined(nodes), None

    def conditional(self, action: Action, depth: int) -> Node:
        if depth > DEEPEST:
            raise TemplateError(f"conditions are nested deeper than {DEEPEST}", action.source)
        branches: list[tuple[Expression, Node]] = []
        otherwise, condition, opening = _constant(""), action.tokens[1:], action
        while True:
            test = _expression(opening, condition)
            body, end = self.block(depth)
            branches.append((test, body))
            if end is None or end.keyword == "end" or not _is_word(end.tokens[1:2], "if"):
                break
            opening, condition = end, end.tokens[2:]
        if end is not None and _is_word(end.tokens, "else"):
            otherwise, end = self.block(depth)
        if end is None:
            raise TemplateError("{{end}} is missing", action.source)
        if not _is_word(end.tokens, "end"):
            raise TemplateError("{{end}} is expected here", end.source)
        return _chosen(branches, otherwise)


def _constant(literal: str) -> Node:
    return lambda _: literal


def _joined(nodes: list[Node]) -> Node:
    return lambda parameters: within_bounds(node(parameters) for node in nodes)


def _printed(action: Action) -> Node:
    expression = _expression(action, action.tokens)
    return lambda parameters: text(expression(parameters))


def _chosen(branches: list[tuple[Expression, Node]], otherwise: Node) -> Node:
    def choose(parameters: Parameters) -> str:
        return next((body for test, body in branches if test(parameters)), otherwise)(parameters)

    return choose


@contextmanager
def _naming(action: Action) -> Iterator[None]:
    """Let an error say which action it is in."""
    try:
        yield
    except TemplateError as error:
        error.source = error.source or action.source
        raise


def _is_word(tokens: tuple[Token, ...], word: str) -> bool:
    return [(token.kind, token.value) for token in tokens] == [("word", word)]


def _expression(action: Action, tokens: tuple[Token, ...]) -> Expression:
    with _naming(action):
        parser = _Words(tokens)
        expression = parser.pipeline(0)
        if parser.next is not None:
            raise TemplateError("there is no ( for this )")

    def evaluate(parameters: Parameters) -> Value:
        with _naming(action):
            return expression(parameters)

    return evaluate


class _Words:
    """Turns the tokens of an action into a function of the parameters."""

    def __init__(self, tokens: tuple[Token, ...]) -> None:
        self.tokens = iter(tokens)
        self.next = next(self.tokens, None)

    def take(self) -> Token | None:
        taken, self.next = self.next, next(self.tokens, None)
        return taken

    def pipeline(self, depth: int) -> Expression:
        """`a b | c d`: the value of each command is the last argument of the next. Stops before an unmatched `)`."""
        if depth > DEEPEST:
            raise TemplateError(f"parentheses are nested deeper than {DEEPEST}")
        value = self.command(None, depth)
        while self.next and self.next.kind == "pipe":
            self.take()
            value = self.command(value, depth)
        return value

    def command(self, piped: Expression | None, depth: int) -> Expression:
        """A call, or one value. Its words stand apart: neither `not(.A)` nor `.A.B` is of the subset."""
        first = self.next
        if first is None or first.kind in ("pipe", "close"):
            raise TemplateError("a value is missing")
        function = first.value if first.kind == "word" and first.value not in BOOLEANS else ""
        if function:
            self.take()
        operands: list[Expression] = []
        while (token := self.next) and token.kind not in ("pipe", "close"):
            if token is not first and token.glued:
                raise TemplateError(f"{token.written} is not supported here, or a space before it is missing")
            operands.append(self.operand(depth))
        if function:
            return _call(function, operands, piped)
        if len(operands) > 1 or piped:
            raise TemplateError(f"{first.written} is no function and takes no argument")
        return operands[0]

    def operand(self, depth: int) -> Expression:
        token = self.take()
        assert token is not None
        value = token.value
        match token.kind:
            case "string":
                return lambda _: value
            case "field":
                return lambda parameters: parameters[value] if value in parameters else Unset(value)
            case "word" if value in BOOLEANS:
                return lambda _: BOOLEANS[value]
            case "open":
                inner = self.pipeline(depth + 1)
                if self.take() is None:
                    raise TemplateError("a ) is missing")
                return inner
            case _:
                raise TemplateError(f"{token.written} is not supported here")


def _call(name: str, arguments: list[Expression], piped: Expression | None) -> Expression:
    count = len(arguments) + (piped is not None)
    if name in SHORT_CIRCUIT:
        if not count:
            raise TemplateError(f"{name} takes at least 1 argument")
        return _short_circuit(SHORT_CIRCUIT[name], arguments, piped)
    function = FUNCTIONS.get(name)
    if function is None:
        raise TemplateError(f"{name} is not supported")
    if wrong := function.miscounted(count):
        raise TemplateError(f"{name} takes {wrong}, it has {count}")
    expressions = [*arguments, *([piped] if piped else [])]
    return lambda parameters: function.on(expression(parameters) for expression in expressions)


def _short_circuit(stop: bool, arguments: list[Expression], piped: Expression | None) -> Expression:
    """`and` and `or`: what is piped is computed first, and counts last."""

    def evaluate(parameters: Parameters) -> Value:
        last = piped(parameters) if piped else ""
        for argument in arguments:
            value = argument(parameters)
            if bool(value) is stop:
                return value
        return last if piped else value

    return evaluate
