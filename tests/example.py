"""The examples of vmtune.yaml, with what they offer as comments."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
ENGLISH = ROOT / "vmtune.yaml.example"
PORTUGUESE = ROOT / "vmtune.yaml.pt-BR.example"

_VALUE = r'(?: (?:"[^"]*"|\[[^]]*\]|[^ ]+))?(?: +#.*)?$'
_OFFERED = re.compile(r"(?m)^( *)# (?= *(?:- )?[a-z-]+:" + _VALUE + ")")


def whole(text: str) -> str:
    """Return the file with the # taken away from every key that is offered."""
    first, rest = text.split("\n", 1)
    return first + "\n" + _OFFERED.sub(r"\1", rest)
