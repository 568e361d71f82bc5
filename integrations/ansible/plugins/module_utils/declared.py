# Copyright: the vmtune authors
# MIT License (see LICENSE)
"""The data of an inventory as the text of a vmtune.yaml."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

HEAD = "# Written by Ansible: a change made here is undone by the next run.\n"

# The keys of vmtune.yaml whose values YAML 1.1 or a template turns into something else.
NO_IS_A_WORD = {"compress", "discard"}
BOOLEANS = {
    *("nocow", "subvolume", "remove", "noatime", "relatime", "nodiratime", "lazytime", "nodev"),
    *("nosuid", "noexec", "autodefrag", "ssd", "flushoncommit", "user_subvol_rm_allowed"),
}
WORDS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
INTEGERS = {"version", "commit"}

# What every reader of YAML takes for a text, without quotes.
PLAIN = re.compile(
    r"(?!(?:true|false|yes|no|on|off|null|y|n)$)[A-Za-z/][A-Za-z0-9_./-]*", re.IGNORECASE
)


def as_text(config: dict[str, Any]) -> str:
    """Return the whole file."""
    return HEAD + "".join(f"{each}\n" for each in as_yaml(as_declared(config)))


def as_declared(data: Any, key: str = "") -> Any:
    """Return the data of an inventory with the types that vmtune.yaml has."""
    if isinstance(data, dict):
        return {name: as_declared(value, name) for name, value in data.items()}
    if isinstance(data, list):
        return [as_declared(value, key) for value in data]
    if key in NO_IS_A_WORD and data is False:
        return "no"
    if key in BOOLEANS and isinstance(data, str):
        return WORDS.get(data.lower(), data)
    if key in INTEGERS and isinstance(data, str) and re.fullmatch("[0-9]{1,9}", data):
        return int(data)
    return data


def as_yaml(data: Any, indent: str = "") -> Iterator[str]:
    """Yield the lines of a YAML document that strict and lenient readers read alike."""
    if isinstance(data, dict):
        for name, value in data.items():
            yield from _under(f"{indent}{scalar(name)}:", value, indent)
    else:
        for value in data:
            if isinstance(value, dict) and value:
                first, *others = as_yaml(value, f"{indent}  ")
                yield f"{indent}- {first[len(indent) + 2 :]}"
                yield from others
            else:
                yield from _under(f"{indent}-", value, indent)


def _under(begun: str, value: Any, indent: str) -> Iterator[str]:
    """Yield a value behind its key, or below the key where it has several lines."""
    if isinstance(value, (dict, list)) and value:
        yield begun
        yield from as_yaml(value, f"{indent}  ")
    else:
        yield f"{begun} {scalar(value)}"


def scalar(value: Any) -> str:
    """Return a value of one line; JSON is YAML."""
    if isinstance(value, str) and PLAIN.fullmatch(value):
        return value
    return json.dumps(value, ensure_ascii=False)
