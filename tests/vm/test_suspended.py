"""Power cuts while a machine is saved, its images rewritten, and started again.

vmtune is stopped behind one of its effects, and then QEMU, which is the whole computer, is killed:
what was not flushed is lost. The machine inside is the boot sector of tests/host/writer.py. Its log
is read from outside before the cut, so it names every block that the machine was told is on the
disk.
"""

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.host import driving, installed, writer
from tests.host.installed import is_nocow
from tests.vm import system
from tests.vm.machine import Guest
from tests.vm.program import CONFIG, DIFFERS, apply, check, declare, install, plan, vmtune

IMAGES = "/var/lib/libvirt/images"
RAW = f"{IMAGES}/a.raw"
LOG = "/var/log/a.log"
OWN = "/etc/vmtune.yaml"
"""A copy of the configuration: as root, vmtune obeys no file of another user."""
VIRSH = "virsh -q -c qemu:///system"
DECLARED = f"""\
paths:
  - {{path: {IMAGES}, nocow: true, existing: rewrite, allow: [suspend-machines]}}
"""
OFF_BY_VMTUNE = {2: "saved", 3: "save on record", 4: "rewritten"}
ON = {1: "on record", 5: "held", 6: "started", 7: "forgotten"}
HELD = 5
DRIVES = ["2G"]
"""The images lie on a disk of their own: no fsync of a machine has the end of its save written."""
UUID = "5a5a5a5a-5a5a-4a5a-8a5a-5a5a5a5a5a5a"


@dataclass(frozen=True)
class Moment:
    """A computer on which a machine runs, saved in ``folder``."""

    system: system.System
    folder: Path


@pytest.fixture(scope="module", params=["bookworm"])
def built(request, build) -> system.System:
    return build(request.param, system.LIBVIRT)


@pytest.fixture(scope="module")
def moment(built, tmp_path_factory) -> Moment:
    folder = tmp_path_factory.mktemp("frozen") / "frozen"
    with Guest(built, drives=DRIVES) as guest:
        install(guest)
        guest.run(
            f"mkfs.btrfs -q /dev/vdb; echo '/dev/vdb {IMAGES} btrfs defaults 0 0' >>/etc/fstab"
        )
        guest.run(f"mount {IMAGES}; chmod 711 {IMAGES}")
        guest.write("/root/check.py", writer.CHECK.encode())
        guest.write("/root/drive.py", driving.DRIVE.encode())
        guest.run(f"{writer.make(RAW)}; chown libvirt-qemu: {RAW}; chmod 600 {RAW}")
        xml = writer.DOMAIN.format(name="a", disk=RAW, format="raw", cache="none", more="")
        xml = xml.replace("</name>", f"</name><uuid>{UUID}</uuid>")
        guest.write("/root/a.xml", xml.encode())
        declare(guest, DECLARED)
        guest.write(OWN, guest.read(CONFIG))
        guest.run(f": >{LOG}; {VIRSH} define /root/a.xml; {VIRSH} start a")
        grows(guest)
        plan(guest, DIFFERS)
        guest.run(["sync"])
        guest.freeze(folder)
    return Moment(built, folder)


def grows(guest: Guest) -> None:
    """The machine writes: five more blocks than by now."""
    guest.run(
        f"had=$(wc -l <{LOG}); until [ $(wc -l <{LOG}) -gt $((had + 5)) ]; do sleep 0.1; done",
        timeout=300,
    )


def stop_behind(guest: Guest, number: int) -> None:
    """Have vmtune apply, and wait until it has stopped behind the effect of that number."""
    line = f"PYTHONPATH=/usr/lib/vmtune exec python3 /root/drive.py {number}:STOP ''"
    guest.send(guest.command(f"{line} --config {OWN} apply --yes"))
    is_stopped = "grep -qs '^State:.T' /proc/$(pgrep -f '^python3 /root/drive.py')/status"
    guest.run(f"until {is_stopped}; do sleep 0.1; done", timeout=300)


def cut(guest: Guest) -> None:
    """Cut the power, and boot: the log is what was read of it a moment before."""
    told = guest.read(LOG)
    guest.cut()
    guest.boot()
    assert not installed.failed(guest)
    guest.write(LOG, told)


def kept(guest: Guest) -> None:
    """All blocks that the machine was told are on the disk are there."""
    guest.run(["python3", "/root/check.py", "a", RAW, "raw"])


def sound(guest: Guest) -> None:
    plan(guest)
    assert is_nocow(guest, RAW)
    found = guest.run(f"find {IMAGES} /var/lib/vmtune/machines -type f").stdout.split()
    on_record = [f"/var/lib/vmtune/machines/{UUID}.{kind}" for kind in ("json", "private")]
    # That of a machine that is on waits for the next run that has anything to do.
    assert sorted(found) in ([RAW], [RAW, *on_record])
    guest.run(f"{VIRSH} destroy a")
    guest.run(f"btrfs device stats --check / && btrfs device stats --check {IMAGES}")
    guest.shut_down()
    for disk in (0, 1):
        check(guest, disk)


@pytest.mark.step(
    "libvirt: the power is cut while `suspend-machines` has a machine off: it goes on"
)
@pytest.mark.parametrize("number", OFF_BY_VMTUNE, ids=OFF_BY_VMTUNE.values())
def test_while_it_is_off(moment, number):
    """It was not rebooted, and nothing that it wrote is lost."""
    with Guest(moment.system, state=moment.folder, drives=DRIVES) as guest:
        stop_behind(guest, number)
        cut(guest)
        assert "saved by run 1" in " ".join(vmtune(guest, f"--config {CONFIG} plan").split())
        apply(guest, 0 if is_nocow(guest, RAW) else 3)
        apply(guest)
        assert guest.run(f"{VIRSH} domstate a").stdout.strip() == "running"
        grows(guest)
        guest.run(f"{VIRSH} suspend a")
        kept(guest)
        sound(guest)


@pytest.mark.step("libvirt: the power is cut while `suspend-machines` has a machine on: as ever")
@pytest.mark.parametrize("number", ON, ids=ON.values())
def test_while_it_is_on(moment, number):
    """It is off, as after every power cut, and no memory of an earlier moment is started."""
    with Guest(moment.system, state=moment.folder, drives=DRIVES) as guest:
        stop_behind(guest, number)
        if number != HELD:
            grows(guest)
        cut(guest)
        assert "Managed save: no" in " ".join(guest.run(f"{VIRSH} dominfo a").stdout.split())
        assert "saved by run" not in vmtune(guest, f"--config {CONFIG} plan")
        kept(guest)
        guest.run(f": >{LOG}; {VIRSH} start a")
        grows(guest)
        apply(guest)
        sound(guest)
