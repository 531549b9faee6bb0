"""The subset of Go's text/template that runtimes are written in.

Supported: `{{.KEY}}`, `{{if}} {{else if}} {{else}} {{end}}`, trim markers `{{- -}}`, comments, string literals, the
functions `and or not eq ne print printf quote` (printf knows %s, %q, %v and %%), pipes and parentheses. Anything else
is an error that names the construct. Values are the strings of `predictor.model.parameters`, so a value is true when it
is not empty (https://pkg.go.dev/text/template, "the empty values are false, 0, ..., and any string of length zero").
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mlservice.api.reasons import Reason
from mlservice.plan.world import Invalid

ACTION = re.compile(r"\{\{(-(?=\s))?(.*?)((?<=\s)-)?\}\}", re.DOTALL)
COMMENT = re.compile(r"^\s*/\*.*\*/\s*$", re.DOTALL)
TOKEN = re.compile(
    r"""\s*(?:
      (?P<string>"(?:\\.|[^"\\])*"|`[^`]*`)
    | (?P<field>\.[A-Za-z_][A-Za-z0-9_]*(?![.A-Za-z0-9_]))
    | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<mark>[()|])
    )""",
    re.VERBOSE,
)
KEYWORDS = {"if", "else", "end"}


class _Missing:
    """Value of a parameter that nobody set: false in a condition, an error where it would be printed."""

    def __init__(self, key: str) -> None:
        self.key = key

    def __bool__(self) -> bool:
        return False


Value = str | bool | _Missing
Node = str | Callable[[Mapping[str, str]], str]


def render(value: Any, parameters: Mapping[str, str], place: str = "") -> Any:
    """Render every string of a JSON value (keys of maps stay as they are).

    `place` names the value in error messages, such as `spec.template.spec.containers[0].args[1]`.
    Raises Invalid with ParameterMissing or TemplateInvalid.
    """
    match value:
        case str():
            return render_text(value, parameters, place)
        case dict():
            return {k: render(v, parameters, f"{place}.{k}" if place else k) for k, v in value.items()}
        case list():
            return [render(v, parameters, f"{place}[{i}]") for i, v in enumerate(value)]
        case _:
            return value


def render_text(text: str, parameters: Mapping[str, str], place: str = "") -> str:
    """Render one string; see `render`."""
    if "{{" not in text:
        return text
    try:
        parser = _Parser(list(_pieces(text)))
        return _evaluate(parser.block(top=True), parameters)
    except _Unset as unset:
        raise Invalid(
            Reason.PARAMETER_MISSING,
            f"{place}: the runtime needs parameter {unset.key}. Set model.parameters.{unset.key}, "
            f"or give it a default in the runtime: {{{{if .{unset.key}}}}}{{{{.{unset.key}}}}}{{{{else}}}}…{{{{end}}}}",
        ) from None
    except SyntaxError as error:
        raise Invalid(Reason.TEMPLATE_INVALID, f"{place}: {error.msg} in {text!r}") from None


class _Unset(Exception):
    def __init__(self, key: str) -> None:
        self.key = key


@dataclass
class _Action:
    words: list[tuple[str, str]]
    source: str

    @property
    def keyword(self) -> str:
        kind, text = self.words[0] if self.words else ("", "")
        return text if kind == "word" and text in KEYWORDS else ""


def _pieces(text: str) -> Iterator[str | _Action]:
    """Split into text and actions, with the trim markers already applied."""
    position, trim = 0, False
    for match in ACTION.finditer(text):
        before = text[position : match.start()]
        before = before.lstrip() if trim else before
        yield before.rstrip() if match[1] else before
        position, trim = match.end(), bool(match[3])
        if not COMMENT.match(match[2]):
            yield _Action(_words(match[2]), match[0])
    rest = text[position:]
    if "{{" in rest:
        raise SyntaxError("unclosed {{")
    yield rest.lstrip() if trim else rest


def _words(source: str) -> list[tuple[str, str]]:
    words, position = [], 0
    while source[position:].strip():
        match = TOKEN.match(source, position)
        if match is None:
            raise SyntaxError(f"unsupported {source[position:].strip()!r}")
        words.append((match.lastgroup or "", match[0].strip()))
        position = match.end()
    return words


class _Parser:
    """Turns pieces into nested nodes; a node is text or a function of the parameters."""

    def __init__(self, pieces: list[str | _Action]) -> None:
        self.pieces = pieces
        self.position = 0

    def block(self, top: bool = False) -> list[Node]:
        """Read up to `else` or `end`, which stay unread."""
        nodes: list[Node] = []
        while self.position < len(self.pieces):
            piece = self.pieces[self.position]
            if isinstance(piece, str):
                nodes.append(piece)
            elif piece.keyword in ("else", "end"):
                if top:
                    raise SyntaxError(f"unexpected {piece.source}")
                return nodes
            elif piece.keyword == "if":
                nodes.append(self.conditional(piece.words[1:], piece.source))
                continue
            else:
                nodes.append(_printed(_pipeline(piece.words, piece.source)))
            self.position += 1
        if not top:
            raise SyntaxError("missing {{end}}")
        return nodes

    def conditional(self, words: list[tuple[str, str]], source: str) -> Node:
        condition = _pipeline(words, source)
        self.position += 1
        then = self.block()
        closing = self.pieces[self.position]
        assert isinstance(closing, _Action)
        otherwise: list[Node] = []
        if closing.keyword == "else" and closing.words[1:2] == [("word", "if")]:
            otherwise = [self.conditional(closing.words[2:], closing.source)]
            return _branch(condition, then, otherwise)
        if closing.keyword == "else":
            if len(closing.words) > 1:
                raise SyntaxError(f"unsupported {closing.source}")
            self.position += 1
            otherwise = self.block()
            closing = self.pieces[self.position]
            assert isinstance(closing, _Action)
        if closing.keyword != "end" or len(closing.words) > 1:
            raise SyntaxError(f"expected {{{{end}}}}, found {closing.source}")
        self.position += 1
        return _branch(condition, then, otherwise)


Expression = Callable[[Mapping[str, str]], Value]


def _branch(condition: Expression, then: list[Node], otherwise: list[Node]) -> Node:
    return lambda parameters: _evaluate(then if condition(parameters) else otherwise, parameters)


def _printed(expression: Expression) -> Node:
    return lambda parameters: _text(expression(parameters))


def _evaluate(nodes: list[Node], parameters: Mapping[str, str]) -> str:
    return "".join(node if isinstance(node, str) else node(parameters) for node in nodes)


def _pipeline(words: list[tuple[str, str]], source: str) -> Expression:
    """`a b | c d`: the value of each command is the last argument of the next."""
    commands: list[list[tuple[str, str]]] = [[]]
    depth = 0
    for kind, text in words:
        depth += {"(": 1, ")": -1}.get(text, 0) if kind == "mark" else 0
        if depth < 0:
            raise SyntaxError(f"unexpected ) in {source}")
        if (kind, text, depth) == ("mark", "|", 0):
            commands.append([])
        else:
            commands[-1].append((kind, text))
    if depth or not all(commands):
        raise SyntaxError(f"unsupported {source}")
    value = _command(commands[0], None, source)
    for command in commands[1:]:
        value = _command(command, value, source)
    return value


def _command(words: list[tuple[str, str]], piped: Expression | None, source: str) -> Expression:
    (kind, text), rest = words[0], words[1:]
    if kind != "word":
        if piped is not None:
            raise SyntaxError(f"{text} is no function, in {source}")
        operands = _operands(words, source)
        if len(operands) != 1:
            raise SyntaxError(f"unsupported {source}")
        return operands[0]
    if text not in FUNCTIONS:
        raise SyntaxError(f"unsupported {text!r}")
    function, arguments = FUNCTIONS[text], [*_operands(rest, source), *([piped] if piped else [])]

    def call(parameters: Mapping[str, str]) -> Value:
        return function([argument(parameters) for argument in arguments], source)

    return call


def _operands(words: list[tuple[str, str]], source: str) -> list[Expression]:
    operands: list[Expression] = []
    position = 0
    while position < len(words):
        kind, text = words[position]
        if (kind, text) == ("mark", "("):
            depth, end = 1, position + 1
            while depth:
                depth += {"(": 1, ")": -1}.get(words[end][1], 0) if words[end][0] == "mark" else 0
                end += 1
            operands.append(_pipeline(words[position + 1 : end - 1], source))
            position = end
            continue
        operands.append(_operand(kind, text, source))
        position += 1
    return operands


def _operand(kind: str, text: str, source: str) -> Expression:
    match kind:
        case "string":
            literal = text[1:-1] if text[0] == "`" else json.loads(text)
            return lambda _: str(literal)
        case "field":
            return lambda parameters: parameters[text[1:]] if text[1:] in parameters else _Missing(text[1:])
        case "word" if text in ("true", "false"):
            return lambda _: text == "true"
        case _:
            raise SyntaxError(f"unsupported {text!r} in {source}")


def _text(value: Value) -> str:
    if isinstance(value, _Missing):
        raise _Unset(value.key)
    return str(value).lower() if isinstance(value, bool) else value


def _first(values: list[Value], source: str, stop_at: bool) -> Value:
    if not values:
        raise SyntaxError(f"and/or need an argument, in {source}")
    return next((v for v in values if bool(v) is stop_at), values[-1])


def _equal(values: list[Value], source: str) -> bool:
    if len(values) < 2:
        raise SyntaxError(f"eq and ne need two arguments, in {source}")
    return any(values[0] == other for other in values[1:])


def _not(values: list[Value], source: str) -> bool:
    if len(values) != 1:
        raise SyntaxError(f"not needs one argument, in {source}")
    return not values[0]


def _printf(values: list[Value], source: str) -> str:
    texts = [_text(v) for v in values]
    if not texts:
        raise SyntaxError(f"printf needs a format, in {source}")
    rest = iter(texts[1:])

    def verb(match: re.Match[str]) -> str:
        if match[0] == "%%":
            return "%"
        value = next(rest, None)
        if value is None or match[1] not in "sqv":
            raise SyntaxError(f"unsupported {match[0]} of printf in {source}")
        return json.dumps(value, ensure_ascii=False) if match[1] == "q" else value

    result = re.sub(r"%(.)", verb, texts[0])
    if next(rest, None) is not None:
        raise SyntaxError(f"too many arguments of printf in {source}")
    return result


FUNCTIONS: dict[str, Callable[[list[Value], str], Value]] = {
    "and": lambda values, source: _first(values, source, stop_at=False),
    "or": lambda values, source: _first(values, source, stop_at=True),
    "not": _not,
    "eq": _equal,
    "ne": lambda values, source: not _equal(values, source),
    "print": lambda values, source: "".join(_text(v) for v in values),
    "printf": _printf,
    "quote": lambda values, source: " ".join(json.dumps(_text(v), ensure_ascii=False) for v in values),
}
