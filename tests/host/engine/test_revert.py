"""There and back: revert, taking items out, reboots and power cuts between, on a whole host."""

import os
import re
import subprocess

import pytest

from tests.host import installed, sandbox
from tests.host.installed import ALICES, ROOTS

CONFIG = "/home/alice/.config/vmtune/vmtune.yaml"
PATHS = "paths: [{path: ~/vm, nocow: true}, {path: /srv/a/b, nocow: true}]\n"
MOUNTS = "mounts: [{target: /, options: {compress: no, noatime: true}}]\n"
DEFRAG = """defrag:
  - {path: ~/vm, schedule: "@daily"}
  - {path: /srv/a/b, schedule: "5 4 * * *", scheduler: cron}
"""
ALICE = {"SUDO_USER": "alice"}
OLD, NEW = b"compress=zstd", b"compress=no"
# Names, kinds, modes, owners, sizes, where links lead, and every byte. Not inodes and times:
# a file that is replaced as a whole has new ones.
TREE = r"""
cd / && find "$@" -printf '%p %y %m %U:%G %s %l\n' | sort
find "$@" -type f -exec sha256sum {} + | sort -k 2
"""


def tree(host, *folders):
    return host.run(["sh", "-c", TREE, "sh", *(folders or ["/etc", "/srv"])]).stdout.splitlines()


def live(host):
    found = installed.live(host, "/")
    return [option for option in found if option.startswith("compress") or "atime" in option]


def declare(host, text):
    host.write(CONFIG, f"version: 1\n{text}".encode(), user="alice")


def vmtune(host, words):
    return host.run(f"{ALICES} {words}", user="alice")


def in_sync(host):
    """As root: what root makes outside her home may not be readable to alice."""
    argv = f"sudo {ALICES} --config {CONFIG} plan --detailed-exitcode"
    done = host.run(argv, user="alice", check=False)
    assert done.returncode in (0, 2), done.stdout + done.stderr
    return done.returncode == 0


def units(host):
    """What systemd has loaded, enabled, or failed of vmtune's."""
    found = host.run("systemctl list-unit-files 'vmtune*' --no-legend --plain", check=False).stdout
    return found + host.run("systemctl list-units --all 'vmtune*' --no-legend --plain").stdout


def healthy(host):
    assert not installed.failed(host)
    assert host.run("find /etc /var/lib/vmtune -name '.*.vmtune'").stdout == ""
    names = re.findall(r"^(?:\S+/)?(vmtune\S+\.(?:timer|service))", units(host), re.MULTILINE)
    for name in ["-.mount", *names]:
        assert installed.shown(host, name, "NeedDaemonReload") == "no", name


@pytest.fixture(scope="module")
def host(zstd_container, wheelhouse):
    host = zstd_container
    installed.for_alice(host, wheelhouse)
    installed.let_alice_sudo(host)
    host.run(f"ln -s /home/alice/.local/bin/vmtune {ROOTS}")
    return host


@pytest.fixture(scope="module")
def before(host):
    """The host before vmtune first did anything."""
    assert "compress=zstd:3" in live(host)
    return tree(host), tree(host, "/home/alice"), live(host), units(host)


@pytest.fixture
def applied(host, before):
    """All of it is done; afterwards it is taken back."""
    declare(host, PATHS + MOUNTS + DEFRAG)
    vmtune(host, "apply --yes")
    assert in_sync(host)
    assert tree(host) != before[0]
    yield host
    host.run(f"rm -f {CONFIG}; rmdir -p ~/.config/vmtune", user="alice", check=False)
    assert tree(host) == before[0]


def as_before(host, before):
    healthy(host)
    assert tree(host) == before[0]
    assert live(host) == before[2]
    assert units(host) == before[3] == ""


def test_revert_restores_every_byte_and_all_that_runs(applied, before):
    host = applied
    healthy(host)
    assert host.run("ls /etc/systemd/system/timers.target.wants").stdout.count("vmtune-") == 1
    assert "noatime" in live(host)
    done = vmtune(host, "revert --yes")
    # What alice may not see (/srv/a/b is root's) root shows anew, before anything is done.
    assert "V401" not in done.stdout.rpartition("what takes run")[2]
    as_before(host, before)
    assert host.run("ls /home/alice").stdout == ""
    vmtune(host, "apply --yes")
    assert in_sync(host)
    healthy(host)
    vmtune(host, "revert --yes")
    as_before(host, before)
    history = vmtune(host, "history").stdout.splitlines()
    runs = [line for line in history if " by alice: " in line][-4:]
    told = [re.sub(r".*\d\d:\d\d:\d\d  ", "", line) for line in runs]
    count = int(re.search(r"(\d+) changes", runs[0])[1])
    number = int(runs[0].split()[0])
    assert told == [
        f"apply by alice: done, {count} of {count} changes",
        f"revert {number} by alice: done, {count} of {count} changes",
        f"apply by alice: done, {count} of {count} changes",
        f"revert {number + 2} by alice: done, {count} of {count} changes",
    ]


@pytest.mark.parametrize("kept", [PATHS + MOUNTS, PATHS + DEFRAG, ""], ids=["-d", "-m", "-all"])
def test_what_is_no_longer_declared_is_taken_back(applied, before, kept):
    host = applied
    declare(host, kept)
    shown = vmtune(host, "plan").stdout
    assert "no longer declared" in shown
    vmtune(host, "apply --yes")
    assert in_sync(host)
    healthy(host)
    etc, was = ([x for x in lines if " /etc" in f" {x}"] for lines in (tree(host), before[0]))
    assert (etc == was) == (kept == "")
    if "mounts" not in kept:
        assert host.read("/etc/fstab").count(OLD) == 1
        assert live(host) == before[2]
    if "defrag" not in kept:
        assert units(host) == ""
    declare(host, "")
    vmtune(host, "apply --yes")
    # The directories that vmtune made, too: nothing is in them.
    assert tree(host) == before[0]
    assert host.run("ls /home/alice").stdout == ""
    assert live(host) == before[2]


def test_a_directory_that_holds_an_image_by_now_stays(applied, before):
    host = applied
    host.run("touch ~/vm/disk.img", user="alice")
    done = host.run(f"{ALICES} revert --yes", user="alice", check=False)
    assert done.returncode == 1
    assert "it is not empty, and stays" in done.stdout
    host.run("rm -r ~/vm", user="alice")
    as_before(host, before)


def test_what_someone_else_changed_since_is_left_alone(applied, before):
    host = applied
    host.run("sed -i s/noatime,/noatime,nodiscard,/ /etc/fstab; systemctl daemon-reload")
    changed = host.read("/etc/fstab")
    if b"nodiscard" not in changed:
        host.run("sed -i s/,noatime/,noatime,nodiscard/ /etc/fstab; systemctl daemon-reload")
        changed = host.read("/etc/fstab")
    done = host.run(f"{ALICES} revert --yes", user="alice", check=False)
    assert done.returncode == 1
    assert "someone else changed it since" in done.stdout
    assert host.read("/etc/fstab") == changed
    host.run("sed -i s/,nodiscard// /etc/fstab; systemctl daemon-reload")
    vmtune(host, "revert --yes")
    as_before(host, before)


def test_a_reboot_between(applied, before):
    host = applied
    host.reboot()
    assert in_sync(host)
    assert "compress=zstd:3" not in live(host)
    assert "noatime" in live(host)
    healthy(host)
    vmtune(host, "revert --yes")
    as_before(host, before)
    host.reboot()
    as_before(host, before)


def generation(image):
    """Of the superblock: the last transaction that was committed."""
    with image.open("rb") as file:
        file.seek(0x10000 + 0x48)
        return int.from_bytes(file.read(8), "little")


def cut_the_power(host):
    """Boots from what the disk held at this moment: unmounting would have written the rest."""
    image, copy = host.images[0], host.images[0].with_suffix(".cut")
    while True:
        held = generation(image)
        subprocess.run(["cp", "--sparse=always", image, copy], check=True)
        if generation(image) == held:
            break
    host._halt()
    os.replace(copy, image)
    host.boot()


STOPS = [("rename", 2), ("fsync", 12), ("fsync", 19), ("fsync", 27)]


@pytest.mark.parametrize(("call", "number"), STOPS)
def test_the_power_is_cut_while_it_is_at_work(host, before, call, number):
    declare(host, PATHS + MOUNTS + DEFRAG)
    host.run("sync")  # what stands on the disk is vmtune's own doing from here on
    old = host.read("/etc/fstab")
    trace = f"strace -o /tmp/trace -e inject={call}:signal=STOP:when={number}"
    argv = host.command(f"{trace} {ROOTS} --config {CONFIG} apply --yes".split(), env=ALICE)
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
        stopped = "grep -q 'stopped by SIGSTOP' /tmp/trace"
        sandbox.until("it to stop", 20, lambda: host.run(stopped, check=False).returncode == 0)
        at_work = host.read("/etc/fstab")
        cut_the_power(host)
    found = host.read("/etc/fstab")
    assert found in (old, old.replace(OLD, NEW).replace(NEW, NEW + b",noatime"), at_work)
    assert found.count(b"\n") == old.count(b"\n")
    assert host.run("systemctl is-system-running").stdout == "running\n"
    host.run([ROOTS, "--config", CONFIG, "apply", "--yes"], env=ALICE)
    assert in_sync(host)
    healthy(host)
    ends = re.findall(r"done, |part way|cut off|interrupted", vmtune(host, "history").stdout)
    assert ends[-1] == "done, "
    declare(host, "")
    vmtune(host, "apply --yes")
    host.run(f"rm -rf /srv/a /home/alice/vm {CONFIG}")
    as_before(host, before)
