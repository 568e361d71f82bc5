"""What every source file of vmtune has, and what none has."""

from __future__ import annotations

import ast
import json
import re
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest

from reconciler.core import images
from reconciler.core.model import WAITS
from reconciler.render.codes import CODES
from reconciler.resources.registry import KINDS
from tests import tiers

ROOT = Path(__file__).parents[2]
MODULES = sorted((ROOT / "reconciler").rglob("*.py"))
NAMES = [str(path.relative_to(ROOT)) for path in MODULES]
CASES = [pytest.param(path, id=name) for path, name in zip(MODULES, NAMES, strict=True)]

CODE = re.compile(r"V[1-9][0-9]{2}")
HUNDREDS = {
    **dict.fromkeys(("nocow", "elsewhere"), "1"),
    **dict.fromkeys(("mount", "fstab_line", "former"), "2"),
    **dict.fromkeys(("defrag", "worth"), "3"),
    "revert": "4",
    **dict.fromkeys(("check_host", "check_fstab", "check_images"), "5"),
    "subvolume": "6",
    "images": "71",  # V101 is older than this kind, and known by its number
    "compression": "8",
}


def tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    tiers.require("judges", ["a git checkout"] * bool(listed.returncode), ["git"])
    files = (ROOT / name.decode() for name in listed.stdout.split(b"\0") if name)
    return [path for path in files if path.is_file() and not path.is_symlink()]


@pytest.mark.parametrize("path", CASES)
def test_a_module_says_what_it_is(path):
    tree = ast.parse(path.read_text())
    if tree.body:
        assert ast.get_docstring(tree), "a module that holds anything begins with what it is"


@pytest.mark.parametrize("path", CASES)
def test_everything_is_annotated(path):
    bare = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            spec = node.args
            arguments = [*spec.posonlyargs, *spec.args, *spec.kwonlyargs, spec.vararg, spec.kwarg]
            named = [a for a in arguments if a and a.arg not in {"self", "cls"}]
            if node.returns is None or any(a.annotation is None for a in named):
                bare.append(f"{node.name}:{node.lineno}")
    assert not bare


SAID_BY_A_REWRITE = frozenset(images.CODES.values())
"""Codes of what is found out only as an image is rewritten; some are a plan's, too."""


def spoken_codes() -> dict[str, set[tuple[str, str]]]:
    """Each V### with the module and the calls that carry it; notes may repeat a refusal's."""
    found: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                given = [*node.args, *(keyword.value for keyword in node.keywords)]
                for value in (a.value for a in given if isinstance(a, ast.Constant)):
                    if isinstance(value, str) and CODE.fullmatch(value):
                        found[value].add((path.stem, node.func.id))
    return found


def test_a_code_means_one_thing():
    """A code is spoken by one module only, whose number it begins with, and by one sort of word."""
    for code, places in spoken_codes().items():
        stems = {stem for stem, _ in places}
        assert len(stems) == 1, f"{code} is spoken in {stems}"
        assert code[1] in HUNDREDS[stems.pop()]
        words = {word for _, word in places} - {"Note"}
        assert len(words) <= 1, f"{code} is {words}"


def test_no_code_is_left_over():
    """What looks like a code, in the sources or in the documentation, is spoken."""
    files = [*(m for m in MODULES if m.name != "codes.py"), *ROOT.glob("*.md")]
    mentioned = {code for path in files for code in CODE.findall(path.read_text())}
    assert mentioned == set(spoken_codes()) | SAID_BY_A_REWRITE


@pytest.mark.parametrize("kind", [kind.name for kind in KINDS])
def test_a_code_has_a_case(kind):
    """Every code of a kind is in the printed plan of some case."""
    cases = (ROOT / "tests" / "unit" / "plan" / "cases" / kind).glob("*.yaml")
    shown = set(CODE.findall("".join(p.read_text().partition("\nplan:")[2] for p in cases)))
    modules = {kind, *({"fstab_line", "former"} if kind == "mount" else ())}
    mine = {code for code, places in spoken_codes().items() if {s for s, _ in places} <= modules}
    assert mine <= shown


def test_a_code_of_doctor_has_a_case():
    """Every check shows in some case, not only by its good end."""
    folder = ROOT / "tests" / "unit" / "advice" / "cases" / "doctor"
    printed = "".join(path.read_text().partition("\ndoctor:")[2] for path in folder.glob("*.yaml"))
    bad = set(re.findall(r"^  +(?:warn|fail) .*?(V5[0-9]{2})", printed, re.MULTILINE | re.DOTALL))
    assert {code for code in spoken_codes() if code[1] == "5"} <= bad


def test_what_can_be_kept_quiet():
    """Codes of notes, and no other; one that a plan goes by is always said."""
    schema = json.loads((ROOT / "schemas" / "vmtune.schema.json").read_text())
    notes = {code for code, said in spoken_codes().items() if any(w == "Note" for _, w in said)}
    assert schema["$defs"]["quiet"]["items"]["enum"] == sorted(notes - {WAITS})


def test_tracked_files_name_no_machine_and_postpone_nothing():
    later = re.compile(rb"\b(TO" rb"DO|FIX" rb"ME|XX" rb"X|HA" rb"CK)\b")
    here = str(ROOT).encode() + b"/"
    found = [
        f"{path.relative_to(ROOT)}: {match[0]!r}"
        for path in tracked()
        if (data := path.read_bytes())
        for match in (later.search(data), re.search(re.escape(here), data))
        if match
    ]
    assert not found


def test_text_is_tidy():
    """Unix line ends, one newline at the end; cases and patches may hold what they test."""
    wrong = []
    for path in tracked():
        data = path.read_bytes()
        if path.suffix not in {".py", ".md", ".toml", ".json"} or not data:
            continue
        if b"\r" in data or not data.endswith(b"\n") or data.endswith(b"\n\n"):
            wrong.append(str(path.relative_to(ROOT)))
    assert not wrong


def test_every_code_is_explained():
    assert spoken_codes().keys() | SAID_BY_A_REWRITE == CODES.keys()


def test_what_a_rewrite_says_is_tested():
    """Each reason for which an image is left, met on a real Btrfs."""
    tests = (ROOT / "tests" / "btrfs").glob("test_rewrite*.py")
    assert {code for path in tests for code in CODE.findall(path.read_text())} >= SAID_BY_A_REWRITE
