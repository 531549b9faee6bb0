"""What renders here renders to the same in Go's text/template, and what Go refuses is refused here.

Templates are generated twice: from a grammar of the subset, where both must agree in everything, and from pieces of
Go's whole language and of no language at all, where this side may refuse more, but never accept more or differ.
"""

import base64
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from local_cluster import binaries
from mlservice.api.reasons import Reason
from mlservice.plan.template import render_text
from mlservice.plan.world import Invalid

SOURCE = Path(__file__).parents[1] / "go_template"
PLACE = "MLServiceRuntime r: spec.template.spec.containers[0].args[0]"
thorough = settings(max_examples=1500, deadline=None, derandomize=True)


class Go:
    """The Go program of tests/go_template."""

    def __init__(self, program: Path) -> None:
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.mistaken = False
        """Whether a printf of the last template had a wrong argument: Go prints that into the text."""

    def render(self, template: str, parameters: dict[str, str]) -> str | None:
        """What text/template prints; None when it refuses, or prints what is not UTF-8."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps({"template": template, "parameters": parameters}) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        self.mistaken = answer["mistaken"]
        try:
            return None if answer["error"] else base64.b64decode(answer["output"] or "").decode()
        except UnicodeDecodeError:
            return None

    def close(self) -> None:
        self.process.communicate()
        assert self.process.returncode == 0


@pytest.fixture(scope="module")
def go(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Go]:
    program = tmp_path_factory.mktemp("go") / "gotemplate"
    subprocess.run(["go", "build", "-o", program, "."], cwd=SOURCE, env=binaries.environment(), check=True)
    process = Go(program)
    yield process
    process.close()


def ours(template: str, parameters: dict[str, str]) -> str | Invalid:
    try:
        return render_text(template, parameters, PLACE)
    except Invalid as invalid:
        return invalid


KEYS = ["A", "B_2", "_c", "Ä"]
TEXT = st.text(st.sampled_from('ab é\t\n"\\`%{}-\u00a0\u2028😀\x00\x7f'), max_size=6)
PARAMETERS = st.dictionaries(st.sampled_from(KEYS), TEXT, max_size=4)
SPACE = st.sampled_from([" ", "", "  ", "\n", "\t ", "\r\n"])
GAP = st.sampled_from([" ", " ", "\n", "\t ", "  "])


def interpreted(value: str) -> str:
    """A Go string literal; JSON's escapes are Go's too, but for surrogates."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", r"\x7f")


ESCAPES = st.sampled_from([r"\a", r"\v", r"\x41", r"\101", r"\u00e9", r"\U0001F600", r"\"", r"\\", r"\n", r"\xc3\xa9"])
STRINGS = st.one_of(
    TEXT.map(interpreted),
    st.lists(ESCAPES, max_size=3).map(lambda escapes: f'"{"".join(escapes)}"'),
    TEXT.map(lambda value: f"`{value.replace('`', '')}\r`"),
    st.sampled_from(['"}}"', '"{{"', "`}} {{`", '"/*"']),
)
FORMATS = st.lists(st.sampled_from(["%s", "%q", "%v", "%%", "-", "é "]), max_size=4).map(
    lambda p: interpreted("".join(p))
)


@st.composite
def commands(draw: st.DrawFn, inner: st.SearchStrategy[str]) -> str:
    """A value, or a call of a supported function with as many arguments as it may take."""
    function, least, most = draw(
        st.sampled_from(
            [
                ("and", 1, 3), ("or", 1, 3), ("not", 1, 1), ("eq", 2, 3), ("ne", 2, 2),
                ("print", 0, 3), ("printf", 0, 2), ("quote", 0, 2),
            ]
        )
    )  # fmt: skip
    arguments = draw(st.lists(inner, min_size=least, max_size=most))
    words = [function, *([draw(FORMATS)] if function == "printf" else []), *arguments]
    return "".join(word + (draw(GAP) if i < len(words) - 1 else draw(SPACE)) for i, word in enumerate(words))


OPERANDS = st.recursive(
    st.one_of(st.sampled_from([f".{key}" for key in KEYS]), STRINGS, st.sampled_from(["true", "false"])),
    lambda inner: st.one_of(inner, commands(inner)).map(lambda command: f"({command})"),
    max_leaves=6,
)
COMMANDS = st.one_of(OPERANDS, commands(OPERANDS))
PIPED = st.sampled_from(["quote", "print", "not", "printf `%v`", 'printf "%q"', "or .A", "and .B_2", "eq ``", "ne .A"])


@st.composite
def pipelines(draw: st.DrawFn) -> str:
    return draw(COMMANDS) + "".join(
        f"{draw(SPACE)}|{draw(SPACE)}{piped}" for piped in draw(st.lists(PIPED, max_size=2))
    )


@st.composite
def actions(draw: st.DrawFn, inside: str) -> str:
    """`{{...}}`, perhaps with trim markers, which stand apart from what is inside."""
    left = draw(st.sampled_from(["{{", "{{", "{{ ", "{{- ", "{{-\n"]))
    right = draw(st.sampled_from(["}}", "}}", " }}", " -}}", "\n-}}"]))
    return f"{left}{inside}{right}"


@st.composite
def conditionals(draw: st.DrawFn, inner: st.SearchStrategy[str]) -> str:
    condition = draw(pipelines())
    parts = [draw(actions(f"if{'' if condition.startswith('(') else ' '}{condition}")), draw(inner)]
    for _ in range(draw(st.integers(0, 2))):
        parts += [draw(actions(f"else{draw(GAP)}if {draw(pipelines())}")), draw(inner)]
    if draw(st.booleans()):
        parts += [draw(actions("else")), draw(inner)]
    return "".join([*parts, draw(actions("end"))])


COMMENT = st.tuples(
    st.sampled_from(["{{/*", "{{- /*"]), st.sampled_from(["", " }} {{ ", "\n"]), st.sampled_from(["*/}}", "*/ -}}"])
).map("".join)
PLAIN = st.text(st.sampled_from("ab-} \n\té\u00a0"), max_size=5)
BLOCKS = st.recursive(
    st.one_of(PLAIN, pipelines().flatmap(actions), COMMENT),
    lambda inner: st.one_of(conditionals(inner), st.lists(inner, max_size=3).map("".join)),
    max_leaves=8,
)


@thorough
@given(template=BLOCKS, parameters=PARAMETERS)
def test_in_the_subset_both_agree(go: Go, template: str, parameters: dict[str, str]) -> None:
    here, there = ours(template, parameters), go.render(template, parameters)
    match here:
        case str():
            assert here == there
        case Invalid(finding=finding) if finding.reason == Reason.PARAMETER_MISSING:
            key = finding.message.split("the runtime needs parameter ")[1].split(".")[0]
            assert key not in parameters
            assert f".{key}" in template
        case _:
            assert there is None or go.mistaken, here.finding.message


WORDS = r"""
    {{ }} {{- -}} {{/* */}} */ /* . .A .B_2 .Ä .A.B_2 (.A).B_2 .1 ( ) () | || , := = ; $ $x $x.A nil true false ' " ` \
    if else end range with define template block break continue {{if {{else {{else}} {{end}} {{end {{if.A}} if( not(
    and or not eq ne print printf quote len index lt gt html js urlquery println call slice nosuch print" # - + ! é ²
    1 -1 1.5 0x1f 1i 'a' '\n' "a" "" "%s" "%d" "%5s" "%.2q" "%[1]s" "%" "%!" "%%" "%x" `` `a` `%v` "\x41" "\xff"
    "\u00e9" "\ud800" "\/" "\'" "\8" "\400" "\x4" "\
"""
FRAGMENTS = st.one_of(
    st.sampled_from(WORDS.split()),
    st.sampled_from([" ", " ", " ", "\n", "\t", "\u00a0", "\u3000", "\x00", "\x85", "a", "b "]),
    TEXT,
)
SOUP = st.lists(FRAGMENTS, max_size=12).map("".join)


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """A template of the subset in which something was put in, taken out or put in place of something else."""
    template = draw(BLOCKS)
    for _ in range(draw(st.integers(1, 3))):
        position = draw(st.integers(0, len(template)))
        template = template[:position] + draw(FRAGMENTS) + template[position + draw(st.integers(0, 4)) :]
    return template


ACTIONS_OF_SOUP = st.tuples(PLAIN, SOUP, SOUP).map(lambda t: f"{t[0]}{{{{{t[1]}}}}}{t[2]}")


@thorough
@given(template=st.one_of(mutated(), ACTIONS_OF_SOUP, SOUP), parameters=PARAMETERS)
def test_outside_the_subset_nothing_renders_otherwise_than_in_go(
    go: Go, template: str, parameters: dict[str, str]
) -> None:
    here, there = ours(template, parameters), go.render(template, parameters)
    if isinstance(here, str):
        assert here == there
    else:
        assert here.finding.message.startswith(f"{PLACE}: ")
