import pytest
from mlservice.api.reasons import Reason
from mlservice.plan.template import render, render_text
from mlservice.plan.world import Invalid

PARAMETERS = {"MODEL": "llama", "EMPTY": "", "QUOTED": 'a "b"'}


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("plain }} text", "plain }} text"),
        ("--model={{.MODEL}}", "--model=llama"),
        ("{{ .MODEL }}{{.EMPTY}}", "llama"),
        ("{{if .MODEL}}{{.MODEL}}{{else}}all{{end}}", "llama"),
        ("{{if .ABSENT}}{{.ABSENT}}{{else}}all{{end}}", "all"),
        ("{{if .EMPTY}}a{{else if .MODEL}}b{{else}}c{{end}}", "b"),
        ("{{if .ABSENT}}a{{else if .EMPTY}}b{{else}}c{{end}}", "c"),
        ("{{if .MODEL}}{{if .EMPTY}}a{{else}}b{{end}}{{end}}", "b"),
        ("a {{- .MODEL -}} b", "allamab"),
        ("a {{/* nothing */}} b", "a  b"),
        ("a {{- /* nothing */ -}} b", "ab"),
        ('{{if eq .MODEL "llama" "mistral"}}yes{{end}}', "yes"),
        ('{{if ne .MODEL "llama"}}yes{{else}}no{{end}}', "no"),
        ("{{if and .MODEL .EMPTY}}a{{else}}b{{end}}", "b"),
        ("{{if not .ABSENT}}a{{end}}", "a"),
        ('{{or .ABSENT .EMPTY "fallback"}}', "fallback"),
        ('{{.MODEL | printf "%s-%s" "x"}}', "x-llama"),
        ("{{.QUOTED | quote}}", r'"a \"b\""'),
        ('{{if (or .EMPTY (eq .MODEL "llama"))}}a{{end}}', "a"),
        ("{{`raw {{`}}", "raw {{"),
    ],
)
def test_renders(text: str, result: str) -> None:
    assert render_text(text, PARAMETERS) == result


@pytest.mark.parametrize("text", ["{{.ABSENT}}", "{{.ABSENT | quote}}", "{{if .MODEL}}{{.ABSENT}}{{end}}"])
def test_missing_parameter_is_named(text: str) -> None:
    with pytest.raises(Invalid, match=r"model\.parameters\.ABSENT") as raised:
        render({"args": ["fine", text]}, PARAMETERS, "spec")
    assert raised.value.finding.reason == Reason.PARAMETER_MISSING
    assert raised.value.finding.message.startswith("spec.args[1]: ")


@pytest.mark.parametrize(
    "text",
    [
        "{{range .MODEL}}x{{end}}",
        "{{.MODEL.Name}}",
        "{{$x := .MODEL}}",
        "{{if .MODEL}}x",
        "{{end}}",
        "{{.MODEL",
        "{{}}",
        "{{if}}x{{end}}",
        "{{template `x`}}",
        "{{.MODEL | }}",
        "{{(.MODEL}}",
        "{{.MODEL .EMPTY}}",
        "{{.MODEL | .EMPTY}}",
        '{{printf "%d" .MODEL}}',
        "{{if .MODEL}}a{{else}}b{{else}}c{{end}}",
        "{{not}}",
        "{{eq .MODEL}}",
    ],
)
def test_what_is_outside_the_subset_is_an_error_that_quotes_it(text: str) -> None:
    with pytest.raises(Invalid) as raised:
        render_text(text, PARAMETERS, "spec.args[0]")
    assert raised.value.finding.reason == Reason.TEMPLATE_INVALID
    assert repr(text) in raised.value.finding.message


def test_values_are_never_rendered_again() -> None:
    assert render_text("{{.A}}", {"A": "{{.B}}"}) == "{{.B}}"


def test_only_strings_are_rendered() -> None:
    spec = {"replicas": 1, "on": True, "none": None, "list": [{"a": "{{.MODEL}}"}]}
    assert render(spec, PARAMETERS) == {"replicas": 1, "on": True, "none": None, "list": [{"a": "llama"}]}
