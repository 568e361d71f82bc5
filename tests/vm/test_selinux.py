"""SELinux that enforces: what vmtune makes has the policy's labels, what it changes keeps its own.

restorecon(8) is the judge: it names each file whose type is not the policy's for its path.
"""

import json

import pytest

from tests.host import installed
from tests.host.installed import digest, is_nocow
from tests.oracles import oracle
from tests.vm import system
from tests.vm.machine import Guest
from tests.vm.program import (
    CONFIG,
    DIFFERS,
    HOME,
    VMTUNE,
    apply,
    check,
    declare,
    install,
    plan,
)

POOL = "/var/lib/libvirt/images"
IMAGES = f"{HOME}/libvirt/images"
MACHINES = f"{HOME}/machines"
NEW = [f"{HOME}/.local/share/libvirt/images", f"{HOME}/new", "/srv/vm/new"]
"""Directories that are missing; the last two become subvolumes."""
DECLARED = f"""\
paths:
  - {{path: {POOL}, nocow: true, existing: rewrite}}
  - {{path: {IMAGES}, nocow: true, existing: rewrite}}
  - {{path: {MACHINES}, nocow: true, existing: rewrite, subvolume: true}}
  - {{path: {NEW[0]}, nocow: true}}
  - {{path: {NEW[1]}, nocow: true, subvolume: true}}
  - {{path: {NEW[2]}, subvolume: true}}
mounts:
  - {{target: /, options: {{compress: no}}}}
defrag:
  - {{path: {POOL}, schedule: "Sun 03:00"}}
  - {{path: {MACHINES}, schedule: "0 12 * * *", scheduler: cron}}
"""
SVIRT = "system_u:object_r:svirt_image_t:s0:c1,c2"
VIRT = "system_u:object_r:virt_image_t:s0"
"""Labels that somebody gives by hand: as libvirt does to the image of a machine that runs."""
CHOSEN = {f"{IMAGES}/b.raw": SVIRT, f"{MACHINES}/c.raw": VIRT}
FILES = [f"{POOL}/a.raw", f"{IMAGES}/a.raw", *CHOSEN]


@pytest.fixture(scope="module", params=["bookworm"])
def built(request, build) -> system.System:
    return build(request.param, system.SELINUX)


@pytest.fixture(scope="module")
def host(make_guest) -> Guest:
    """Images copy-on-write, two of them with labels of their own."""
    guest = make_guest()
    install(guest)
    guest.run(["restorecon", "-R", "/usr/lib/vmtune", "/usr/bin/vmtune"])
    guest.run(["mkdir", "-p", POOL, "/srv/vm"])
    guest.run(["mkdir", "-p", IMAGES, MACHINES], user="alice")
    for path in FILES:
        installed.guest(guest, path, 8, 100)
    guest.run(["restorecon", "-R", "/var/lib/libvirt", "/home", "/srv", "/etc"])
    for path, label in CHOSEN.items():
        guest.run(["chcon", label, path])
    guest.run(["mount", "-o", "remount,compress=zstd", "/"])
    declare(guest, DECLARED)
    guest.write("/etc/vmtune.yaml", guest.read(CONFIG))  # root obeys no file of another user's
    guest.was = stray(guest)
    guest.sums = {path: digest(guest, path) for path in FILES}
    return guest


def stray(guest: Guest) -> set[str]:
    """What has another type than the policy's, by restorecon; the chosen labels are not judged."""
    where = ["/etc", "/home", "/srv", "/var/lib", "/var/spool/cron"]
    done = guest.run(["restorecon", "-R", "-n", "-v", *where], check=False)
    lines = done.stdout.splitlines()
    return {line for line in lines if not any(path in line for path in CHOSEN)}


def label(guest: Guest, path: str) -> str:
    return guest.run(["stat", "-c", "%C", path]).stdout.strip()


@pytest.mark.step("SELinux: it enforces")
def test_enforces(host):
    assert host.run(["getenforce"]).stdout.strip() == "Enforcing"
    assert ":unconfined_t:" in host.run(["id", "-Z"]).stdout
    assert not installed.failed(host)


@pytest.mark.step("SELinux: all that `apply` makes or changes has the label of the policy")
def test_labels(host):
    plan(host, DIFFERS)
    apply(host)
    plan(host)
    assert stray(host) - host.was == set()
    assert ":virt_image_t:" in label(host, POOL)
    for path in FILES:
        assert is_nocow(host, path)
        assert digest(host, path) == host.sums[path]
    for path in (MACHINES, *NEW[1:]):
        host.run(["btrfs", "subvolume", "show", path])
    host.run(["touch", *(f"{path}/new" for path in (*NEW, POOL, MACHINES))])
    assert stray(host) - host.was == set(), "what is made in them afterwards has it, too"


@pytest.mark.step("SELinux: a label that somebody chose stays on an image that is rewritten")
def test_chosen(host):
    assert {path: label(host, path) for path in CHOSEN} == CHOSEN


@pytest.mark.step("SELinux: `doctor` says what restorecon says")
def test_doctor(host):
    assert labels_told(host) == []
    other = VIRT.replace("virt_image_t", "etc_t")
    host.run(["chcon", other, NEW[0]])
    (row,) = labels_told(host)
    assert other in row["text"]
    assert f"Would relabel {NEW[0]} from" in "\n".join(stray(host) - host.was)
    host.run(row["remedy"])
    assert labels_told(host) == []
    assert stray(host) - host.was == set()


def labels_told(guest: Guest) -> list[dict]:
    argv = [VMTUNE, "--config", "/etc/vmtune.yaml", "doctor", "--json"]
    rows = json.loads(guest.run(argv, check=False).stdout)["rows"]
    return [row for row in rows if row["code"] == "V538"]


@pytest.mark.step("SELinux: the unit of the timer defragments")
def test_timer(host):
    service = installed.unit_of(host, POOL, "service")
    host.run(["systemctl", "start", service])
    assert installed.shown(host, service, "Result") == "success"


@pytest.mark.step("SELinux: cron's job may not defragment, which the plan says; a timer's may")
@oracle("filefrag", "V313", "V540")
def test_cron(host):
    shown = plan(host)
    assert "V313" in shown[f"defrag {MACHINES}"]
    assert "V313" not in shown[f"defrag {POOL}"]
    started = {MACHINES: "cronjob.service", POOL: installed.unit_of(host, POOL, "service")}
    host.write("/etc/systemd/system/cronjob.service", DENIED.format(f"defrag {MACHINES}").encode())
    host.run("systemctl daemon-reload")
    for path, service in started.items():
        image = f"{path}/torn.raw"
        host.run(f"touch {image}; chattr -C {image}; restorecon {image}")
        installed.guest(host, image, 8, 100)
        before = installed.fragments(host, image)
        host.run(["systemctl", "start", service], check=False)
        after = installed.fragments(host, image)
        assert (after < before) == (path == POOL), (before, after)
        host.run(["rm", image])
    host.run("rm /etc/systemd/system/cronjob.service; systemctl daemon-reload")
    host.run(["systemctl", "reset-failed"])


DENIED = """\
[Service]
Type=oneshot
SELinuxContext=system_u:system_r:system_cronjob_t:s0-s0:c0.c1023
ExecStart=/bin/sh -c "exec vmtune --config /etc/vmtune.yaml {}"
"""
"""The domain of cron's jobs: it may read much, and change little."""


@pytest.mark.step("SELinux: a vmtune that is denied says so, and changes nothing")
def test_denied(host):
    more = "  - {path: /srv/more, nocow: true}\nmounts"
    host.write("/etc/vmtune.yaml", f"version: 1\n{DECLARED.replace('mounts', more)}".encode())
    where = ["/home", "/var/lib/vmtune", "/var/lib/libvirt", "/srv", "/etc/fstab", "/etc/cron.d"]
    was = installed.state(host, *where)
    told = {}
    for word, arguments in {"plan": "plan", "apply": "apply --yes"}.items():
        host.write(f"/etc/systemd/system/{word}.service", DENIED.format(arguments).encode())
        host.run("systemctl daemon-reload")
        host.run(["systemctl", "start", f"{word}.service"], check=False)
        told[word] = host.run(f"journalctl -o cat -u {word}.service").stdout
    assert "nocow /srv/more" in told["plan"]
    assert "vmtune, as root, was not allowed to" in " ".join(told["plan"].split())
    assert "only root" not in "".join(told.values())
    assert "Traceback" not in "".join(told.values())
    assert "fault of vmtune" not in "".join(told.values())
    assert told["apply"].count("Permission denied") == 1
    assert "SELinux may have denied it to system_u:system_r:system_cronjob_t:" in told["apply"]
    assert installed.state(host, *where) == was
    host.run("rm /etc/systemd/system/plan.service /etc/systemd/system/apply.service")
    host.run(["systemctl", "reset-failed"])


@pytest.mark.step("SELinux: after a reboot it enforces still, and nothing differs")
def test_reboot(host):
    host.reboot()
    assert host.run(["getenforce"]).stdout.strip() == "Enforcing"
    assert not installed.failed(host)
    plan(host)
    assert stray(host) - host.was == set()
    host.shut_down()
    check(host)
