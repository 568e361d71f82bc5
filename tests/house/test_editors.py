"""Editors know vmtune.yaml: the real language server, for files where people keep them."""

import re
import subprocess
import sys

import pytest

from tests import example, tiers
from tests.documents import ROOT, blocks, shell
from tests.house.editor import Editor

SERVER = ROOT / ".cache/editors/node_modules/yaml-language-server/bin/yaml-language-server"
CONFIGURATION = ROOT / "docs" / "configuration.md"
HEADER, HOST_HEADER = (
    block.text.splitlines()[0]
    for block in blocks(CONFIGURATION)
    if block.text.startswith("# yaml-language-server")
)
FILE = """\
version: 1
paths:
  - path: ~/libvirt/images
    nocow: true
    existing: rewrite
    \nmounts:
  - target: /
    options:
      compress: zstd
defrag:
  - path: ~/libvirt/cow
    schedule: "Sun 03:00"
"""
OVERLAY = """\
paths:
  - path: ~/libvirt/images
    remove: true
  - path: /srv/vm
    nocow: true
    \n"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home in which somebody followed docs/configuration.md."""
    made = tmp_path_factory.mktemp("home") / ".config" / "vmtune"
    (made / "hosts").mkdir(parents=True)
    lines = [line for line in shell(CONFIGURATION) if " -o ~/.config/vmtune/" in line]
    assert len(lines) == 2
    for line in lines:
        words = line.replace("~/.config/vmtune", str(made)).split()[1:]
        subprocess.run([sys.executable, "-m", "reconciler", *words], check=True, cwd=ROOT)
    return made


@pytest.fixture(scope="module")
def editor():
    subprocess.run(["sh", ".ci/editors", ".cache/editors"], cwd=ROOT, check=True)
    tiers.require("editors", [] if SERVER.exists() else ["yaml-language-server"], ["npm"])
    with Editor(["node", SERVER, "--stdio"]) as opened:
        yield opened


def written(file, header, text):
    file.write_text(f"{header}\n{text}", encoding="utf-8")
    return file


def test_a_right_file_has_no_mark_and_tells_what_its_keys_mean(editor, home):
    file = written(home / "vmtune.yaml", HEADER, FILE)
    assert editor.open(file) == {}
    assert "written in place" in editor.hover(file, "nocow")
    assert "replaced in one step" in editor.hover(file, "existing")
    assert "zstd" in editor.hover(file, "compress")
    assert "systemd" in editor.hover(file, "schedule")
    assert editor.offers(file, "rewrite\n    ") >= {"subvolume", "compression", "allow"}
    assert {"rewrite", "keep", "report"} <= editor.offers(file, "existing: ")
    assert "noatime" in editor.offers(file, "options:\n      ")


@pytest.mark.parametrize(
    ("right", "wrong", "line"),
    [
        ("nocow:", "nocwo:", 5),
        ("existing: rewrite", "existing: rewrit", 6),
        ("nocow: true", "nocow: yes", 5),
        ("compress: zstd", "compress: zstd:99", 11),
        ("version: 1", "version: 2", 2),
        ('schedule: "Sun 03:00"', "scheduler: auto", 13),
        ('"Sun 03:00"', '"99 3 * * 0"', 14),
    ],
)
def test_a_mistake_is_marked_where_it_is(editor, home, right, wrong, line):
    name = re.sub(r"\W", "-", wrong)  # a server keeps what it was told of an open file
    file = written(home / f"{name}.yaml", HEADER, FILE.replace(right, wrong))
    assert {*editor.open(file)} == {line}


def test_a_file_in_hosts_has_a_schema_of_its_own(editor, home):
    file = written(home / "hosts" / "atlas.yaml", HOST_HEADER, OVERLAY)
    assert editor.open(file) == {}
    assert "inherited" in editor.hover(file, "remove")
    assert editor.offers(file, "nocow: true\n    ") >= {"existing", "remove"}
    file = written(home / "hosts" / "vega.yaml", HOST_HEADER, OVERLAY.replace("remove", "remov"))
    assert {*editor.open(file)} == {4}


@pytest.mark.parametrize("name", ["ENGLISH", "PORTUGUESE"])
def test_the_example_is_known_once_it_is_copied(editor, home, name):
    """Also with all that it offers as a comment."""
    text = getattr(example, name).read_text(encoding="utf-8")
    file = home / f"{name}.yaml"
    for content in (text, example.whole(text)):
        file.write_text(content, encoding="utf-8")
        assert editor.open(file) == {}
        assert "written in place" in editor.hover(file, "nocow: true")
        file = home / f"{name}-whole.yaml"


def test_the_example_names_the_schema_that_the_pages_write():
    for file in (example.ENGLISH, example.PORTUGUESE):
        text = file.read_text(encoding="utf-8")
        assert text.splitlines()[0] == HEADER
        assert "vmtune schema -o ~/.config/vmtune/vmtune.schema.json" in text
