"""Templates by example; tests/unit/test_template_in_go.py compares many more with Go's own text/template."""

import pytest
from mlservice.api.reasons import Reason
from mlservice.plan.template import DEEPEST, MOST, render, render_text
from mlservice.plan.template_functions import LONGEST
from mlservice.plan.world import Invalid

PARAMETERS = {"MODEL": "llama", "EMPTY": "", "QUOTED": 'a "b"', "Größe": "7b"}


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("plain }} text", "plain }} text"),
        ("--model={{.MODEL}}", "--model=llama"),
        ("{{ .MODEL }}{{.EMPTY}}", "llama"),
        ("{{.Größe}}", "7b"),
        ("{{if .MODEL}}{{.MODEL}}{{else}}all{{end}}", "llama"),
        ("{{if .ABSENT}}{{.ABSENT}}{{else}}all{{end}}", "all"),
        ("{{if .EMPTY}}a{{else if .MODEL}}b{{else}}c{{end}}", "b"),
        ("{{if .ABSENT}}a{{else if .EMPTY}}b{{else}}c{{end}}", "c"),
        ("{{if .ABSENT}}a{{else if .EMPTY}}b{{end}}", ""),
        ("{{if .MODEL}}{{if .EMPTY}}a{{else}}b{{end}}{{end}}", "b"),
        ("a {{- .MODEL -}} b", "allamab"),
        ("a \t\r\n{{- .MODEL\n -}} \n b", "allamab"),
        ("a\u00a0{{- .MODEL -}}\u2003b", "a\u00a0llama\u2003b"),
        ("a {{/* nothing */}} b", "a  b"),
        ("a {{- /* nothing */ -}} b", "ab"),
        ("{{/* }} is text here */}}x", "x"),
        ('{{"}}"}}', "}}"),
        ('{{if eq .MODEL "llama" "mistral"}}yes{{end}}', "yes"),
        ('{{if ne .MODEL "llama"}}yes{{else}}no{{end}}', "no"),
        ('{{if eq .ABSENT ""}}yes{{end}}', "yes"),
        ("{{if and .MODEL .EMPTY}}a{{else}}b{{end}}", "b"),
        ("{{if not .ABSENT}}a{{end}}", "a"),
        ('{{or .ABSENT .EMPTY "fallback"}}', "fallback"),
        ('{{or .MODEL (printf "%s" .ABSENT)}}', "llama"),
        ('{{.MODEL | printf "%s-%s" "x"}}', "x-llama"),
        ('{{printf "%v%% %q" true .QUOTED}}', r'true% "a \"b\""'),
        ("{{print true false .MODEL}}", "true falsellama"),
        ("{{.QUOTED | quote}}", r'"a \"b\""'),
        (r'{{quote "\a\x01\u00a0é"}}', r'"\a\x01\u00a0é"'),
        (r'{{"\x41\u00e9\101\n"}}', "AéA\n"),
        ('{{if(or .EMPTY (eq .MODEL "llama"))}}a{{end}}', "a"),
        ("{{`raw {{\\n`}}", "raw {{\\n"),
    ],
)
def test_renders(text: str, result: str) -> None:
    assert render_text(text, PARAMETERS) == result


@pytest.mark.parametrize(
    "text",
    [
        "{{.ABSENT}}",
        "{{.ABSENT | quote}}",
        "{{if .MODEL}}{{.ABSENT}}{{end}}",
        '{{printf "%s" .ABSENT}}',
        "{{print .ABSENT}}",
        "{{or .EMPTY .ABSENT}}",
    ],
)
def test_missing_parameter_is_named(text: str) -> None:
    with pytest.raises(Invalid, match=r"model\.parameters\.ABSENT") as raised:
        render({"args": ["fine", text]}, PARAMETERS, "spec")
    assert raised.value.finding.reason == Reason.PARAMETER_MISSING
    assert raised.value.finding.message.startswith("spec.args[1]: ")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{{range .MODEL}}x{{end}}", "range is not supported, in {{range .MODEL}}"),
        ("{{with .MODEL}}x{{end}}", "with is not supported, in {{with .MODEL}}"),
        ("{{define `x`}}y{{end}}", "define is not supported, in {{define `x`}}"),
        ("{{template `x`}}", "template is not supported"),
        ("{{len .MODEL}}", "len is not supported"),
        ("{{.MODEL.Name}}", ".Name is not supported here"),
        ("{{(.MODEL).Name}}", ".Name is not supported here"),
        ("{{.}}", ". is not supported, in {{.}}"),
        ("{{$x := .MODEL}}", "$x is not supported, in {{$x := .MODEL}}"),
        ("{{if eq .MODEL 7}}x{{end}}", "7 is not supported, in {{if eq .MODEL 7}}"),
        ("{{'x'}}", "'x' is not supported"),
        ("{{.MODEL\u00a0}}", r"'\xa0' is not supported"),
        ("{{not(.MODEL)}}", "( is not supported here, or a space before it is missing"),
        ('{{print"x"}}', '"x" is not supported here, or a space before it is missing'),
        ("{{if .MODEL}}x", "{{end}} is missing, in {{if .MODEL}}"),
        ("{{if .MODEL}}x{{else}}", "{{end}} is missing, in {{if .MODEL}}"),
        ("{{end}}", "there is no {{if}} that this belongs to, in {{end}}"),
        ("{{if .MODEL}}a{{else}}b{{else}}c{{end}}", "{{end}} is expected here, in {{else}}"),
        ("{{if .MODEL}}a{{else .EMPTY}}b{{end}}", "{{end}} is expected here, in {{else .EMPTY}}"),
        ("{{if .MODEL}}a{{end .MODEL}}", "{{end}} is expected here, in {{end .MODEL}}"),
        ("{{.MODEL", "the action is not closed with }}, in {{.MODEL"),
        ('{{"a}}', 'a string is not closed with "'),
        ("{{`a}}", "a string is not closed with `"),
        ("{{ /* spaced */ }}", "/* is not supported"),
        ("{{/* spaced */ }}", "a comment is {{/* ... */}}, without space beside /* and */"),
        ("{{/* open", "a comment is"),
        ("{{}}", "a value is missing, in {{}}"),
        ("{{if}}x{{end}}", "a value is missing, in {{if}}"),
        ("{{.MODEL | }}", "a value is missing"),
        ("{{()}}", "a value is missing"),
        ("{{(.MODEL}}", "a ) is missing"),
        ("{{.MODEL)}}", "there is no ( for this )"),
        ("{{.MODEL .EMPTY}}", ".MODEL is no function and takes no argument"),
        ("{{.MODEL | .EMPTY}}", ".EMPTY is no function and takes no argument"),
        ("{{not}}", "not takes 1 argument, it has 0"),
        ("{{if .EMPTY}}{{not}}{{end}}", "not takes 1 argument, it has 0, in {{not}}"),
        ("{{and}}", "and takes at least 1 argument"),
        ("{{eq .MODEL}}", "eq takes at least 2 arguments, it has 1"),
        ("{{ne .MODEL .MODEL .MODEL}}", "ne takes 2 arguments, it has 3"),
        ("{{eq .MODEL true}}", "eq and ne compare two strings, or two of true and false"),
        ("{{not not .MODEL}}", "not is not supported here"),
        ('{{printf "%d" .MODEL}}', "%d of printf is not supported"),
        ('{{printf "%5s" .MODEL}}', "%5 of printf is not supported"),
        ('{{printf "%s"}}', "%s of printf is not supported or lacks its argument"),
        ('{{printf "%s" true}}', "%s of printf is not supported or lacks its argument"),
        ('{{printf "100%"}}', "% of printf is not supported or lacks its argument"),
        ('{{printf "x" .MODEL}}', "printf has more arguments than its format has verbs"),
        ("{{printf true}}", "the first argument of printf is its format, a string"),
        (r'{{"\/"}}', r"\/ is no escape of Go's, in {{"),
        (r'{{"\ud800"}}', r"\ud800 is no escape of Go's"),
        (r'{{"\xff"}}', "is not UTF-8"),
        ("{{if .MODEL}}" * (DEEPEST + 1), f"conditions are nested deeper than {DEEPEST}"),
        ("{{" + "(" * 1000 + "}}", "nested deeper than"),
    ],
)
def test_what_is_outside_the_subset_is_an_error_that_names_it(text: str, problem: str) -> None:
    with pytest.raises(Invalid) as raised:
        render_text(text, PARAMETERS, "spec.args[0]")
    assert raised.value.finding.reason == Reason.TEMPLATE_INVALID
    assert raised.value.finding.message.startswith("spec.args[0]: ")
    assert problem in raised.value.finding.message


def test_a_long_action_is_quoted_short() -> None:
    for text in ("{{range `" + "x" * 10000 + "`}}", '{{"' + "x" * 10000 + '" "y"}}'):
        with pytest.raises(Invalid) as raised:
            render_text(text, PARAMETERS, "spec.args[0]")
        assert len(raised.value.finding.message) < 300


def test_long_chains_of_else_if_need_no_depth() -> None:
    text = "{{if .EMPTY}}" + "{{else if .EMPTY}}" * 2000 + "{{else}}x{{end}}"
    assert render_text(text, PARAMETERS) == "x"


def test_values_are_never_rendered_again() -> None:
    assert render_text("{{.A}}", {"A": "{{.B}}"}) == "{{.B}}"


def test_only_strings_are_rendered() -> None:
    spec = {"replicas": 1, "on": True, "none": None, "list": [{"a": "{{.MODEL}}"}]}
    assert render(spec, PARAMETERS) == {"replicas": 1, "on": True, "none": None, "list": [{"a": "llama"}]}


def test_string_that_renders_to_nothing_stays() -> None:
    assert render(["--a={{.EMPTY}}", "{{.EMPTY}}", "b"], PARAMETERS) == ["--a=", "", "b"]


@pytest.mark.parametrize(
    "value",
    [
        "{{.LONG}}" * 3_000,
        "{{print" + " .LONG" * 3_000 + "}}",
        "{{if .LONG}}" + "{{.LONG}}" * 3_000 + "{{end}}",
        "{{" + "quote (" * 45 + ".LONG" + ")" * 45 + "}}",
        ["{{.LONG}}"] * 3_000,
        {"args": ["x" * LONGEST, "{{.LONG}}"]},
    ],
    ids=["text", "arguments", "condition", "quotes", "list", "constants"],
)
def test_a_value_that_is_written_again_and_again_ends_before_the_memory_does(value: object) -> None:
    with pytest.raises(Invalid) as raised:
        render(value, {"LONG": "\\" * 100_000}, "spec")
    assert raised.value.finding.reason == Reason.TEMPLATE_INVALID
    assert f"longer than {LONGEST} characters" in raised.value.finding.message
    assert len(raised.value.finding.message) < 400


@pytest.mark.parametrize("value", ["{{.MODEL}}" * 3_277, ["{{.MODEL}}"] * 3_277], ids=["text", "list"])
def test_a_runtime_of_nothing_but_actions_is_refused(value: object) -> None:
    with pytest.raises(Invalid, match=f"have more than {MOST} characters"):
        render(value, PARAMETERS, "spec")
    assert render(value[: -len("{{.MODEL}}")] if isinstance(value, str) else value[:-1], PARAMETERS, "spec")
