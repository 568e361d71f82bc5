"""The layouts of distributions: what is printed of each, and what the kernel makes of its boot.

``VMTUNE_TEST_ACCEPT=1 pytest tests/btrfs/mount/test_layouts.py`` writes what is printed
into the files.
"""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.btrfs import booting
from tests.btrfs.world import World
from tests.oracles import oracle

FOLDER = Path(__file__).parent / "layouts"
CASES = {file.stem: yaml.safe_load(file.read_text("utf-8")) for file in FOLDER.glob("*.yaml")}


@pytest.mark.parametrize("name", sorted(CASES))
@oracle(
    "mountinfo",
    "V201: something else mounts it, and decides its options",
    "V207: at boot compression is",
    "V207: {}; {}{}",
    "V208: a snapshot",
    "V230",
    "V231",
    "V510",
    "V525",
    "V526",
    "as declared, by rootflags= on the kernel's command line",
    "status: compression",
)
def test_layout(host: World, name: str):
    """What is printed is held to the file; the boot that is foretold, to the kernel's mountinfo."""
    case: dict[str, Any] = CASES[name]
    with booting.machine(host, case) as machine:
        machine.boot()
        printed = machine.printed()
        if os.environ.get("VMTUNE_TEST_ACCEPT"):  # read git diff
            booting.accept(FOLDER / f"{name}.yaml", printed)
            return
        for command in ("plan", "status", "init", "doctor"):
            assert printed[command] == case["printed"][command], command
        now, boot = booting.told(printed["status"])
        assert now == machine.kernel()
        assert boot in {now, ""}, "the boot that was just made, by the same fstab"
        machine.vmtune("apply", "--yes")
        assert machine.kernel() == case["live"]
        _, foretold = booting.told(machine.vmtune("status").out)
        machine.reboot()
        assert machine.kernel() == case["again"]
        assert foretold in {case["again"], ""}
