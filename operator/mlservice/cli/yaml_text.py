"""Manifests as YAML that kubectl reads as they are."""

import re

import yaml

from mlservice.api.meta import Object

AMBIGUOUS = re.compile(r"[-+]?((\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|0o[0-7]+)|[yYnN]")
"""Texts that kubectl takes for numbers and booleans and PyYAML does not, such as 1e5.

https://github.com/kubernetes-sigs/yaml/blob/master/goyaml.v2/resolve.go
"""


class _Dumper(yaml.SafeDumper):
    pass


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    ambiguous = AMBIGUOUS.fullmatch(text.replace("_", ""))  # which kubectl leaves out of numbers
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="'" if ambiguous else None)


_Dumper.add_representer(str, _text)


def yaml_text(obj: Object) -> str:
    """The object as one document, its fields in their order."""
    return str(yaml.dump(obj, Dumper=_Dumper, sort_keys=False, width=120))
