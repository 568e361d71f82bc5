"""A new kind needs no line in the rules of the house, nor in the order of imports.

That it works on a host: tests/btrfs/engine/test_new_kind.py.
"""

import subprocess
import sys

import pytest

from tests import checkout, dust

RULES = [
    "test_code.py::test_a_code_means_one_thing",
    "test_code.py::test_no_code_is_left_over",
    "test_code.py::test_every_code_is_explained",
    "test_code.py::test_a_paragraph_lies_where_its_code_is_spoken",
    "test_generated.py",
    "test_imports.py::test_contracts_hold",
    "test_imports.py::test_contracts_cover_every_room",
    "test_imports.py::test_contracts_cover_every_module",
    "test_kinds.py::test_every_folder_in_resources_is_registered",
    "test_kinds.py::test_every_key_is_described",
    "test_kinds.py::test_a_kind_explains_itself",
]


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A vmtune with the new kind, where nothing else was changed."""
    top = tmp_path_factory.mktemp("with-dust")
    checkout.copy(top)
    dust.add(top)
    return top


def judged(copy) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "pytest", "-q", *(f"tests/house/{rule}" for rule in RULES)]
    return subprocess.run(argv, cwd=copy, capture_output=True, text=True, check=False)


def test_a_new_kind_breaks_no_rule(copy):
    done = judged(copy)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_new_kind_that_knows_another_breaks_one(copy):
    """Else the rules would have judged the kinds that are listed, and not the new one."""
    with (copy / "reconciler" / "resources" / "dust" / "kind.py").open("a") as file:
        file.write("from reconciler.resources.mount import places\n")
    done = judged(copy)
    assert "reconciler.resources.dust is not allowed to import" in done.stdout
