"""Risks that are taken for once: `--allow` on plan and apply."""

import json
import os
from pathlib import Path

import pytest

from tests.btrfs.outside import is_nocow, sync
from tests.btrfs.world import NOBODY, World

MIB = 1 << 20


def written(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(os.urandom(MIB))
    sync()
    return path


def test_once_allowed_on_the_command_line(host: World):
    """For that run alone; a plan that is saved is done as it was made."""
    image = written(host.area / "vm" / "a.raw")
    host.nocow(image.parent)
    assert "V101" in host.plan(expect=2).out
    allowed = host.vmtune("plan", "--allow", "rewrite-images")
    assert "allowed for once: rewrite-images" in allowed.out
    assert "V101" not in allowed.out
    plan = host.file.parent / "saved.plan"
    host.vmtune("plan", "--allow", "rewrite-images", "-o", str(plan))
    assert json.loads(plan.read_text())["config"]["allow"] == ["rewrite-images"]
    assert "allowed for once: rewrite-images" in host.vmtune("show", str(plan)).out
    refused = host.vmtune("apply", str(plan), "--allow", "rewrite-images")
    assert refused.code == 1
    assert "a saved plan is done as it was made" in refused.err
    assert not is_nocow(image)
    done = host.vmtune("apply", str(plan), "--yes")
    assert done.code == 0, done
    assert is_nocow(image)
    written(host.area / "vm2" / "b.raw")
    host.nocow(host.area / "vm2")
    assert host.vmtune("apply", "--yes", "--allow", "rewrite-images").code == 0
    assert is_nocow(host.area / "vm2" / "b.raw")
    assert "apply --allow rewrite-images" in host.vmtune("history").out


def test_apply_does_not_rewrite_what_was_not_allowed(host: World):
    image = written(host.area / "vm" / "a.raw")
    host.nocow(image.parent)
    before = image.stat().st_ino
    host.apply(expect=7)
    assert image.stat().st_ino == before


@pytest.mark.parametrize(
    ("risk", "code"), [("raid", 0), ("snapshots", 7), ("root-options", 7), ("rewrite-images", 7)]
)
def test_each_risk_has_its_name_on_the_command_line(host: World, risk: str, code: int):
    """To be nocow on two copies needs one of them, and no other will do."""
    image = host.image("data", mkfs=["-d", "raid1", "-m", "raid1"], size=2)
    host.nocow(image.subvolume("images"))
    assert host.vmtune("apply", "--yes").code == 7
    assert host.vmtune("apply", "--yes", "--allow", risk).code == code
    assert is_nocow(image.path / "images") is not bool(code)


def test_root_is_asked_for_with_what_was_allowed(host: World):
    """The command that sudo would run; a saved plan carries it by itself."""
    image = written(host.area / "vm" / "a.raw")
    host.nocow(image.parent)
    told = host.vmtune(
        "apply", "--yes", "--allow", "rewrite-images", user=NOBODY, env={"VMTUNE_SUDO": "none"}
    )
    assert told.code == 1
    assert "apply --yes --allow rewrite-images --approved" in told.err


def test_an_unknown_risk_is_a_mistake(host: World):
    host.nocow(host.area / "vm")
    ran = host.vmtune("apply", "--yes", "--allow", "everything")
    assert ran.code == 64
    assert "rewrite-images" in ran.err
