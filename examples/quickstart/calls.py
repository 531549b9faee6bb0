"""The demo's requests to the model: by curl where there is one, else by Python."""

import http.client
import json
import shutil
import subprocess
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from local_cluster.report import Failure, Stopwatch

MODEL = "tiny-llama"
NOISE = "Its words are noise: nobody trained it."
SECONDS = 120


@dataclass(frozen=True)
class Call:
    """One request: a title, the path behind the service's address, and the JSON body."""

    title: str
    path: str
    body: dict[str, Any]

    @property
    def streamed(self) -> bool:
        """Does the answer come in pieces, as server-sent events?"""
        return bool(self.body.get("stream"))


def chat(**more: Any) -> dict[str, Any]:
    """The body of a chat completion."""
    return {"model": MODEL, "messages": [{"role": "user", "content": "hello"}], "max_tokens": 24, **more}


TEXT = Call(
    "Text completion", "/v1/completions", {"model": MODEL, "prompt": "Long long ago, there was", "max_tokens": 24}
)
CALLS = (
    Call("Chat completion", "/v1/chat/completions", chat()),
    Call("Streamed chat completion", "/v1/chat/completions", chat(stream=True)),
    TEXT,
)


def show_answer(watch: Stopwatch, call: Call, url: str) -> None:
    """Make a request, show it as a curl command, and show the answer's text; a Failure says what came instead."""
    body = json.dumps(call.body)
    print(f"\n  {call.title}:\n  $ curl {url}{call.path} -H 'Content-Type: application/json' \\\n      -d '{body}'")
    started = watch.elapsed
    lines = list(by_curl(f"{url}{call.path}", body) if shutil.which("curl") else by_python(f"{url}{call.path}", body))
    if call.streamed:
        events = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
        for line in events[:2]:
            print(f"  data: {shortened(line)}")
        if events[-1:] != ["[DONE]"]:
            raise Failure(f"The stream of {url}{call.path} did not end with [DONE].", f"It ended with {lines[-3:]}")
        text = "".join(text_of(json.loads(event)) for event in events[:-1])
        amount = f"{len(events)} events, "
    else:
        print(f"  {shortened(lines[0] if lines else '')}")
        text = text_of(parsed("\n".join(lines)))
        amount = ""
    watch.say(f'{watch.elapsed - started:.2f} s, {amount}"{readable(text)}"')


def parsed(text: str) -> dict[str, Any]:
    """The answer as JSON."""
    try:
        answer = json.loads(text)
    except ValueError:
        raise Failure("The answer is not JSON.", text[:500]) from None
    if "choices" not in answer:
        raise Failure("The answer has no choices.", text[:500])
    return dict(answer)


def text_of(answer: dict[str, Any]) -> str:
    """What the model said, in a completion of either kind or in a piece of one."""
    choices = answer["choices"]
    if not choices:
        return ""
    said = choices[0].get("text") or choices[0].get("message", choices[0].get("delta", {})).get("content") or ""
    return str(said)


def shortened(line: str, length: int = 190) -> str:
    """The beginning of a long line."""
    return readable(line if len(line) <= length else f"{line[:length]} ...")


def readable(text: str) -> str:
    """Noise as a terminal can show it: what has no glyph becomes a dot."""
    return "".join(glyph if glyph.isprintable() and glyph != "\ufffd" else "·" for glyph in text)


def by_curl(url: str, body: str) -> Iterator[str]:
    """Lines of the answer. curl resolves every name below .localhost to this machine.

    It tries again for some seconds where a Gateway has not yet heard that the pod is ready.
    """
    command = ["curl", "--silent", "--show-error", "--fail-with-body", "--no-buffer", "--noproxy", "*"]
    command += ["--retry", "5", "--retry-delay", "1"]
    command += ["--max-time", str(SECONDS), "-H", "Content-Type: application/json", "-d", body, url]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise Failure(f"curl {url} failed: {done.stderr.strip()}", done.stdout[:500])
    yield from done.stdout.splitlines()


def by_python(url: str, body: str) -> Iterator[str]:
    """Lines of the answer. Python resolves *.localhost on some systems only, so it connects to the address itself."""
    parts = urllib.parse.urlsplit(url)
    address = "127.0.0.1" if (parts.hostname or "").endswith(".localhost") else parts.hostname or ""
    connection = http.client.HTTPConnection(address, parts.port or 80, timeout=SECONDS)
    try:
        connection.request("POST", parts.path, body, {"Host": parts.netloc, "Content-Type": "application/json"})
        response = connection.getresponse()
        text = response.read().decode()
    except OSError as error:
        raise Failure(f"{url} cannot be reached: {error}") from None
    finally:
        connection.close()
    if response.status != 200:
        raise Failure(f"{url} answered {response.status}.", text[:500])
    yield from text.splitlines()
