"""``vmtune schema``: the JSON Schema of vmtune.yaml, and of each document that vmtune prints."""

from __future__ import annotations

import json
from importlib import resources
from typing import TYPE_CHECKING

from reconciler import exit_codes
from reconciler.linux import files, users

if TYPE_CHECKING:
    from reconciler.console import Chosen


def run(chosen: Chosen, name: str, output: str | None) -> int:
    """Print a schema, or write it to a file that is not there yet; 1 when there is one."""
    path = files.checked_output(output) if output is not None else ""
    text = text_of(name)
    if path:
        files.write_output(path, text.encode())
        what = _OF.get(name, f"what {name} --json prints")
        chosen.terminal.say(f"{users.tilde(path)}: the schema of {what}")
    else:
        chosen.terminal.say(text.removesuffix("\n"), as_is=True)
    return exit_codes.DONE


_OF = {
    "vmtune": "vmtune.yaml",
    "host": "files in hosts/",
    "events": "what apply --json prints",
    "error": "an error with --json",
}
"""What a schema is of, where it is not of what the command of its name prints with --json."""


def text_of(name: str) -> str:
    """Return the text of a schema, which ends with a newline."""
    file = "vmtune" if name == "host" else name
    folder = resources.files("reconciler").joinpath("schemas")
    text = folder.joinpath(f"{file}.schema.json").read_text(encoding="utf-8")
    if name != "host":
        return text
    whole = json.loads(text)
    own = {"$schema": whole["$schema"], "title": "hosts/*.yaml", "$ref": "#/$defs/host_file"}
    return json.dumps({**own, "$defs": whole["$defs"]}, indent=2, ensure_ascii=False) + "\n"
