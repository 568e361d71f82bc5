"""vmtune in a guest, as root or as alice, and what its documents say."""

import json
import shutil
import tempfile
from pathlib import Path

from tests.host import installed, sandbox
from tests.vm.machine import Guest

CHECKOUT = Path(__file__).parents[2]
VMTUNE = "/usr/bin/vmtune"
HOME = "/home/alice"
CONFIG = f"{HOME}/.config/vmtune/vmtune.yaml"
SYNC, DIFFERS, REFUSED = 0, 2, 7
"""Exit codes of ``plan --detailed-exitcode``; 7 also of an apply that leaves only refused rows."""


def install(guest: Guest) -> None:
    """Lays the files where the Debian package lays them, beside Debian's own libraries.

    pip takes minutes for that in a guest without KVM. alice may become root.
    """
    with tempfile.TemporaryDirectory() as made:
        Path(made).chmod(0o755)  # as the folder that it is unpacked over
        lib = Path(made) / "lib/vmtune"
        leave = shutil.ignore_patterns("__pycache__")
        shutil.copytree(CHECKOUT / "reconciler", lib / "reconciler", ignore=leave)
        (Path(made) / "bin").mkdir()
        shutil.copy(CHECKOUT / "packaging/bin/vmtune", Path(made) / "bin")
        guest.push(Path(made), "/usr")
    guest.run(["python3", "-m", "compileall", "-q", "-j2", "/usr/lib/vmtune"])
    # Else the next boot finds /usr changed, and makes caches in /etc anew, as after an upgrade.
    guest.run("touch -r /usr /etc/.updated /var/.updated")
    installed.let_alice_sudo(guest)


def vmtune(guest: Guest, arguments: str, code: int = 0, sudo: str = "sudo ") -> str:
    """What it prints for alice; it must end with the code."""
    done = guest.run(f"{sudo}{VMTUNE} {arguments}", user="alice", check=False)
    assert done.returncode == code, f"{done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def declare(guest: Guest, text: str) -> None:
    guest.write(CONFIG, f"version: 1\n{text}".encode(), user="alice")


def plan(guest: Guest, code: int = SYNC, sudo: str = "sudo ") -> dict[str, str]:
    """By "kind name" the codes of each row, its own first; the plan must end with the code."""
    told = vmtune(guest, f"--config {CONFIG} plan --json --detailed-exitcode", code, sudo)
    return {
        f"{row['kind']} {row['name']}": " ".join(
            [row["op"], *filter(None, [row["code"], *(note["code"] for note in row["notes"])])]
        )
        for row in json.loads(told)["changes"]
    }


def apply(guest: Guest, code: int = 0, options: str = "") -> str:
    return vmtune(guest, f"--config {CONFIG} apply --yes {options}", code)


def check(guest: Guest, disk: int = 0) -> None:
    """Holds the disk of a guest that is off to btrfs-check(8), its data to their checksums."""
    raw = guest.raw(disk)
    sandbox.checked(["btrfs", "check", "--check-data-csum", "--readonly", str(raw)])
    raw.unlink()
