"""Cut a template into text and actions, and actions into tokens, where Go cuts them (text/template/parse/lex.go).

A character that no supported construct begins with is an error here; which tokens may follow each other is the
parser's matter.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

OPEN, CLOSE = "{{", "}}"
SPACES = " \t\r\n"
"""All that Go counts as space inside an action and beside a trim marker; other white space is text or an error."""

TOKEN = re.compile(
    r"""(?P<string>"(?:\\[^\n]|[^"\\\n])*")
      | (?P<raw>`[^`]*`)
      | (?P<field>\.(?![0-9])\w+)
      | (?P<word>[A-Za-z_]\w*)
      | (?P<open>\()
      | (?P<close>\))
      | (?P<pipe>\|)""",
    re.VERBOSE,
)
UNSUPPORTED = re.compile(r"""'(?:\\.|[^'\\])*'|[^\s(){}|"'`]+""", re.DOTALL)
ESCAPE = re.compile(
    r"\\(?:(?P<octal>[0-7]{3})|x(?P<byte>[0-9a-fA-F]{2})|u(?P<short>[0-9a-fA-F]{4})|U(?P<long>[0-9a-fA-F]{8})|(?P<one>.))"
)
SINGLE = {"a": 7, "b": 8, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11, "\\": 92, '"': 34}


class TemplateError(Exception):
    """Something outside the supported subset; `source` is the action that holds it, once it is known."""

    def __init__(self, problem: str, source: str = "") -> None:
        super().__init__(problem)
        self.problem, self.source = problem, source


@dataclass(frozen=True)
class Token:
    kind: str
    """string, field, word, open, close or pipe."""
    value: str
    """What a string says, the key of a field, otherwise what is written."""
    written: str
    glued: bool
    """Whether it follows the token before it without a space."""


@dataclass(frozen=True)
class Action:
    """What stands between `{{` and `}}`."""

    tokens: tuple[Token, ...]
    source: str

    @property
    def keyword(self) -> str:
        first = self.tokens[0] if self.tokens else None
        return first.value if first and first.kind == "word" else ""


def pieces(text: str) -> Iterator[str | Action]:
    """Yield text and actions in their order, without comments, and with the trim markers already applied.

    Raises TemplateError.
    """
    position, trim = 0, False
    while (start := text.find(OPEN, position)) >= 0:
        inside = start + len(OPEN)
        before = text[position:start].lstrip(SPACES) if trim else text[position:start]
        if text[inside : inside + 1] == "-" and _is_space(text, inside + 1):
            before, inside = before.rstrip(SPACES), inside + 2
        yield before
        if text.startswith("/*", inside):
            position, trim = _after_comment(text, start, inside)
        else:
            action, position, trim = _action(text, start, inside)
            yield action
    yield text[position:].lstrip(SPACES) if trim else text[position:]


def _is_space(text: str, position: int) -> bool:
    return position < len(text) and text[position] in SPACES


def _closing(text: str, position: int) -> tuple[int, bool] | None:
    """The position after `}}` or ` -}}` and whether it trims; None when neither stands at `position`."""
    if text.startswith(CLOSE, position):
        return position + len(CLOSE), False
    if _is_space(text, position) and text.startswith(f"-{CLOSE}", position + 1):
        return position + 2 + len(CLOSE), True
    return None


def _after_comment(text: str, start: int, inside: int) -> tuple[int, bool]:
    end = text.find("*/", inside + 2)
    closing = _closing(text, end + 2) if end >= 0 else None
    if closing is None:
        raise TemplateError("a comment is {{/* ... */}}, without space beside /* and */", text[start : inside + 20])
    return closing


def _action(text: str, start: int, inside: int) -> tuple[Action, int, bool]:
    tokens: list[Token] = []
    position, glued = inside, False
    while (closing := _closing(text, position)) is None:
        if position >= len(text):
            raise TemplateError("the action is not closed with }}", text[start:])
        if _is_space(text, position):
            position, glued = position + 1, False
            continue
        match = TOKEN.match(text, position)
        if match is None or not _is_name(match):
            raise TemplateError(_problem(text, position), text[start : position + 40])
        tokens.append(_token(match, glued, text[start : match.end()]))
        position, glued = match.end(), True
    return Action(tuple(tokens), text[start : closing[0]]), *closing


def _problem(text: str, position: int) -> str:
    if text[position] in '"`':
        return f"a string is not closed with {text[position]}"
    match = UNSUPPORTED.match(text, position)
    word = match[0] if match else text[position]
    return f"{word if word.isprintable() else repr(word)} is not supported"


def _is_name(match: re.Match[str]) -> bool:
    """Names are letters, decimal digits and underscores; Python's \\w knows further numbers."""
    return match.lastgroup not in ("field", "word") or all(
        c.isalpha() or c.isdecimal() or c == "_" for c in match[0].removeprefix(".")
    )


def _token(match: re.Match[str], glued: bool, source: str) -> Token:
    written = match[0]
    match match.lastgroup:
        case "string":
            return Token("string", _unquoted(written, source), written, glued)
        case "raw":
            return Token("string", written[1:-1].replace("\r", ""), written, glued)
        case kind:
            return Token(kind or "", written.removeprefix("."), written, glued)


def _unquoted(literal: str, source: str) -> str:
    """The value of an interpreted string literal (Go's strconv.Unquote)."""
    result, position = bytearray(), 1
    for match in ESCAPE.finditer(literal, 1, len(literal) - 1):
        result += literal[position : match.start()].encode() + _escaped(match, source)
        position = match.end()
    result += literal[position:-1].encode()
    try:
        return result.decode()
    except UnicodeDecodeError:
        raise TemplateError("a string is not UTF-8", source) from None


def _escaped(match: re.Match[str], source: str) -> bytes:
    if match["octal"] or match["byte"]:
        value = int(match["octal"], 8) if match["octal"] else int(match["byte"], 16)
        if value < 256:
            return bytes([value])
    elif match["short"] or match["long"]:
        value = int(match["short"] or match["long"], 16)
        if value < 0xD800 or 0xE000 <= value < 0x110000:
            return chr(value).encode()
    elif match["one"] in SINGLE:
        return bytes([SINGLE[match["one"]]])
    raise TemplateError(f"{match[0]} is no escape of Go's", source)
