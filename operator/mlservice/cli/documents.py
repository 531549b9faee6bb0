"""Manifests in files: read as kubectl reads them, and each knows the line that it stands at."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mlservice.api.meta import Object

SUFFIXES = (".yaml", ".yml", ".json")


class Unusable(Exception):
    """Files that cannot be planned with; the text has a line for each problem, as FILE:LINE: WHAT."""


class _Loader(yaml.SafeLoader):
    """YAML as Kubernetes has it: there are no dates."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


@dataclass(frozen=True)
class Document:
    """One manifest."""

    file: str
    content: Object
    node: yaml.Node

    @property
    def kind(self) -> str:
        return str(self.content["kind"])

    @property
    def name(self) -> str:
        return str(self.content["metadata"]["name"])

    @property
    def namespace(self) -> str:
        return str(self.content["metadata"].get("namespace") or "")

    def line(self, path: Sequence[str | int] = ()) -> int:
        """Line of the field `path`, or of the deepest field above it that is there."""
        return _line(self.node, path)

    def problem(self, what: str, path: Sequence[str | int] = ()) -> str:
        """`what`, with the place of the field `path`."""
        return f"{self.file}:{self.line(path)}: {self.kind} {self.name}: {what}"


def read(files: Sequence[str]) -> list[Document]:
    """Return the manifests of files, of the YAML and JSON files in folders, and of standard input (`-`).

    Raises Unusable.
    """
    documents, problems = [], []
    for file in _found(files):
        try:
            documents += list(_documents("stdin" if file == "-" else file, _text(file)))
        except Unusable as error:
            problems.append(str(error))
    if problems:
        raise Unusable("\n".join(problems))
    return documents


def _found(files: Sequence[str]) -> Iterator[str]:
    for file in files:
        if file != "-" and Path(file).is_dir():
            inside = sorted(str(path) for path in Path(file).iterdir() if path.suffix in SUFFIXES)
            if not inside:
                raise Unusable(f"{file}: no {', '.join(SUFFIXES)} file is in this folder")
            yield from inside
        else:
            yield file


def _text(file: str) -> str:
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise Unusable(f"{file}: cannot be read: {error}") from None


def _documents(file: str, text: str) -> Iterator[Document]:
    loader = _Loader(text)
    try:
        while loader.check_node():
            node = loader.get_node()
            if node is None:
                continue
            for key in _twice(node):
                raise Unusable(f"{file}:{key.start_mark.line + 1}: the field {key.value} is there twice")
            yield from _manifests(file, node, _plain(loader.construct_document(node)))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise Unusable(f"{file}{line}: no valid YAML: {getattr(error, 'problem', None) or error}") from None
    finally:
        loader.dispose()


def _manifests(file: str, node: yaml.Node, content: Any) -> Iterator[Document]:
    where = f"{file}:{node.start_mark.line + 1}"
    if content is None:
        return
    if not isinstance(content, dict) or not isinstance(content.get("kind"), str):
        raise Unusable(f"{where}: this is no Kubernetes manifest: it has no kind")
    if content["kind"] == "List":
        items = _below(node, "items")
        for i, item in enumerate(content.get("items") or []):
            yield from _manifests(file, items.value[i] if isinstance(items, yaml.SequenceNode) else node, item)
        return
    metadata = content.get("metadata")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str):
        raise Unusable(f"{where}: {content['kind']} has no metadata.name")
    yield Document(file, content, node)


def _plain(value: Any) -> Any:
    """As JSON: keys are strings."""
    if isinstance(value, dict):
        return {_key(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _key(key: Any) -> str:
    return str(key).lower() if isinstance(key, bool) else str(key)


def _twice(node: yaml.Node) -> Iterator[yaml.Node]:
    """Keys that a map has already; YAML's readers would silently take the last."""
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                yield key
            seen.add(str(key.value))
            yield from _twice(value)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _twice(item)


def _line(node: yaml.Node, path: Sequence[str | int]) -> int:
    """Line of the deepest part of `path` that exists; where a field is, that of its key."""
    line = node.start_mark.line + 1
    for step in path:
        if isinstance(node, yaml.MappingNode):
            found = next(((key, value) for key, value in node.value if key.value == str(step)), None)
            if found is None:
                break
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            line = node.start_mark.line + 1
        else:
            break
    return line


def _below(node: yaml.Node, field: str) -> yaml.Node | None:
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    return next((value for key, value in pairs if key.value == field), None)
