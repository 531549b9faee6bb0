// Command gotemplate renders templates with Go's own text/template, for comparison: one JSON object a line in, one out.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"text/template"
)

type question struct {
	Template   string            `json:"template"`
	Parameters map[string]string `json:"parameters"`
}

type answer struct {
	Output   []byte `json:"output"` // base64, since a template can print bytes that are not UTF-8
	Error    string `json:"error"`
	Mistaken bool   `json:"mistaken"` // a printf printed its own mistake, such as %!d(string=a)
}

// quote is what Sprig, Helm's function library, calls so.
func quote(values ...any) string {
	quoted := make([]string, 0, len(values))
	for _, value := range values {
		if value != nil {
			quoted = append(quoted, fmt.Sprintf("%q", fmt.Sprint(value)))
		}
	}
	return strings.Join(quoted, " ")
}

func render(asked question) (answered answer) {
	printf := func(format string, values ...any) string {
		printed := fmt.Sprintf(format, values...)
		answered.Mistaken = answered.Mistaken || strings.Contains(printed, "%!")
		return printed
	}
	functions := template.FuncMap{"quote": quote, "printf": printf}
	parsed, err := template.New("").Option("missingkey=zero").Funcs(functions).Parse(asked.Template)
	if err != nil {
		return answer{Error: err.Error()}
	}
	var output bytes.Buffer
	if err := parsed.Execute(&output, asked.Parameters); err != nil {
		return answer{Error: err.Error()}
	}
	answered.Output = output.Bytes()
	return answered
}

func main() {
	in, out := bufio.NewScanner(os.Stdin), json.NewEncoder(os.Stdout)
	in.Buffer(nil, 1<<24)
	for in.Scan() {
		var asked question
		if err := json.Unmarshal(in.Bytes(), &asked); err != nil {
			panic(err)
		}
		if err := out.Encode(render(asked)); err != nil {
			panic(err)
		}
	}
}
