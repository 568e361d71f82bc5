"""libvirt as Debian has it, with AppArmor: machines that run, wait, and lie on snapshots.

The machines are the boot sector of tests/host/writer.py: it tells which of its blocks are on the
disk, and whether it was rebooted. So who asks afterwards sees that nothing of them was lost.
"""

import pytest

from tests.host import writer
from tests.host.installed import digest, is_nocow
from tests.vm import system
from tests.vm.machine import Guest
from tests.vm.program import (
    CONFIG,
    DIFFERS,
    HOME,
    REFUSED,
    VMTUNE,
    apply,
    check,
    declare,
    install,
    plan,
    vmtune,
)

IMAGES = "/var/lib/libvirt/images"
MINE = f"{HOME}/.local/share/libvirt/images"
RAW, OVERLAY, COPY = f"{IMAGES}/a.raw", f"{IMAGES}/a.now", f"{IMAGES}/copy.raw"
SYSTEM = "virsh -q -c qemu:///system"
SESSION = "virsh -q -c qemu:///session"
DECLARED = f"""\
paths:
  - {{path: {IMAGES}, nocow: true, existing: rewrite}}
  - {{path: {MINE}, nocow: true, existing: rewrite}}
"""
SUSPENDING = DECLARED.replace("rewrite}", "rewrite, allow: [suspend-machines]}")

# An image is rewritten, slowly, while libvirt is asked for something.
MEANWHILE = f"""
strace -f -qq -o /dev/null -e trace=pwritev2 -e inject=pwritev2:delay_enter=400000 \\
    {VMTUNE} --config /etc/vmtune.yaml apply --yes >/root/log 2>&1 & vmtune=$!
until grep -q 'LEASE.* READ ' /proc/locks; do
    kill -0 $vmtune || {{ cat /root/log; exit 1; }}
    sleep 0.05
done
ASKED || exit 1
grep -c LEASE /proc/locks
wait $vmtune
"""


@pytest.fixture(scope="module", params=["bookworm"])
def built(request, build) -> system.System:
    return build(request.param, system.LIBVIRT)


@pytest.fixture(scope="module")
def host(make_guest) -> Guest:
    """A pool that starts by itself, root's machine ``a``, and alice's machine ``mine``."""
    guest = make_guest()
    install(guest)
    guest.write("/root/check.py", writer.CHECK.encode())
    guest.run(f"{SYSTEM} pool-define-as default dir --target {IMAGES}")
    guest.run(f"{SYSTEM} pool-start default; {SYSTEM} pool-autostart default")
    guest.run(writer.make(RAW))
    guest.run(f"chown libvirt-qemu:libvirt-qemu {RAW}; chmod 600 {RAW}")
    define(guest, SYSTEM, "root", "a", RAW)
    guest.run(["mkdir", "-p", MINE], user="alice")
    guest.run(writer.make(f"{MINE}/mine.raw").replace("/root/", "/tmp/"), user="alice")
    define(guest, SESSION, "alice", "mine", f"{MINE}/mine.raw")
    declare(guest, DECLARED)
    return guest


def define(guest: Guest, virsh: str, user: str, name: str, disk: str) -> None:
    xml = writer.DOMAIN.format(name=name, disk=disk, format="raw", cache="none", more="")
    if user != "root":
        xml = xml.replace("/var/log/", "/tmp/")
    guest.write(f"/tmp/{name}.xml", xml.encode())
    guest.run(f"{virsh} define /tmp/{name}.xml", user=user)


def start(guest: Guest, name: str = "a") -> None:
    guest.run(f": >/var/log/{name}.log; {SYSTEM} start {name}")
    grows(guest)


def grows(guest: Guest, log: str = "/var/log/a.log") -> None:
    """It writes: five more blocks than by now."""
    guest.run(
        f"had=$(wc -l <{log}); until [ $(wc -l <{log}) -gt $((had + 5)) ]; do sleep 0.1; done",
        timeout=300,
    )


def whole(guest: Guest, disk: str = RAW, kind: str = "raw") -> None:
    """It was not rebooted, all that it was told is on the disk is there, and it goes on."""
    grows(guest)
    guest.run(f"{SYSTEM} suspend a")
    guest.run(["python3", "/root/check.py", "a", disk, kind])
    guest.run(f"{SYSTEM} resume a")
    grows(guest)


def inode(guest: Guest, path: str) -> str:
    return guest.run(["stat", "-c", "%i", path]).stdout


def refused(guest: Guest, *paths: str) -> str:
    """Nothing of the images is done, at most of their folder; what the plan says of them."""
    was = [inode(guest, path) for path in paths]
    apply(guest, REFUSED)
    plan(guest, REFUSED)
    told = " ".join(vmtune(guest, f"--config {CONFIG} plan").split())
    assert [inode(guest, path) for path in paths] == was
    assert not any(is_nocow(guest, path) for path in paths)
    return told


def copy_on_write(guest: Guest, path: str) -> None:
    """Make an image of a machine that is off as it was before vmtune."""
    guest.run(f"rm -rf /srv/aside; mkdir /srv/aside; cp --reflink=never -p {path} /srv/aside/")
    guest.run(f"mv /srv/aside/* {path}; sync")
    assert not is_nocow(guest, path)


@pytest.mark.step("libvirt: its folder is root's 0711, its images 0600; AppArmor confines machines")
def test_as_debian_has_it(host):
    assert host.run(["stat", "-c", "%U:%G %a", IMAGES]).stdout == "root:root 711\n"
    assert host.run(["cat", "/sys/module/apparmor/parameters/enabled"]).stdout == "Y\n"
    start(host)
    assert host.run(["stat", "-c", "%U %a", RAW]).stdout == "libvirt-qemu 600\n"
    confined = host.run("cat /proc/$(cat /run/libvirt/qemu/a.pid)/attr/current").stdout
    assert confined.startswith("libvirt-")
    assert confined.endswith("(enforce)\n")


@pytest.mark.step("libvirt: a machine that runs is named, and its images stay as they are")
def test_running(host):
    told = refused(host, RAW)
    assert "V702" in told
    assert "a.raw" in told
    whole(host)


@pytest.mark.step("libvirt: a machine with a managed save goes on, on images that were rewritten")
def test_managed_save(host):
    host.run(f"{SYSTEM} managedsave a")
    was = digest(host, RAW), host.run(["stat", "-c", "%u %g %a", RAW]).stdout
    plan(host, DIFFERS)
    apply(host)
    assert is_nocow(host, RAW)
    assert (digest(host, RAW), host.run(["stat", "-c", "%u %g %a", RAW]).stdout) == was
    host.run(f"{SYSTEM} start a")
    whole(host)
    plan(host)


@pytest.mark.step("libvirt: images of a machine that is off are rewritten, and the machine starts")
def test_shut_off(host):
    host.run(f"{SYSTEM} destroy a")
    copy_on_write(host, RAW)
    was = digest(host, RAW), host.run(["stat", "-c", "%u %g %a", RAW]).stdout
    apply(host)
    assert is_nocow(host, RAW)
    assert (digest(host, RAW), host.run(["stat", "-c", "%u %g %a", RAW]).stdout) == was
    start(host)
    whole(host)


@pytest.mark.step("libvirt: an external snapshot: overlay and base are left alone, then rewritten")
def test_external_snapshot(host):
    host.run(f"{SYSTEM} destroy a")
    copy_on_write(host, RAW)
    host.run(["chattr", "-C", IMAGES])
    start(host)
    host.run(f"{SYSTEM} snapshot-create-as a now --disk-only --no-metadata")
    grows(host)
    told = refused(host, RAW, OVERLAY)
    assert "a.raw" in told
    assert "a.now" in told
    host.run(f"{SYSTEM} managedsave a")
    apply(host)
    assert is_nocow(host, RAW)
    assert is_nocow(host, OVERLAY)
    host.run(f"{SYSTEM} start a")
    whole(host, OVERLAY, "qcow2")


@pytest.mark.step("libvirt: while a block job is active nothing is touched, nobody suspended")
def test_block_job(host):
    host.run(f"{SYSTEM} managedsave a")
    for path in (RAW, OVERLAY):
        copy_on_write(host, path)
    host.run(["chattr", "-C", IMAGES])
    host.run(f"{SYSTEM} start a")
    # Not a commit: for one AppArmor's profile, as libvirt 9.0 makes it, does not let QEMU write.
    host.run(f"{SYSTEM} blockcopy a hda {COPY} --transient-job --bytes --bandwidth 65536")
    declare(host, SUSPENDING)
    pid = host.read("/run/libvirt/qemu/a.pid")
    told = refused(host, RAW, OVERLAY, COPY)
    assert "V725" not in told
    assert "machine a, which is not suspended, because" in told
    assert host.read("/run/libvirt/qemu/a.pid") == pid
    assert "Block Copy" in host.run(f"{SYSTEM} blockjob a hda 2>&1").stdout
    host.run(f"{SYSTEM} blockjob a hda --abort")
    whole(host, OVERLAY, "qcow2")
    host.run(["rm", COPY])


@pytest.mark.step("libvirt: with `suspend-machines` a machine goes on, on rewritten images")
def test_suspended(host):
    apply(host)
    assert is_nocow(host, RAW)
    assert is_nocow(host, OVERLAY)
    assert host.run(f"{SYSTEM} domstate a").stdout.strip() == "running"
    whole(host, OVERLAY, "qcow2")


@pytest.mark.step("libvirt: a pool that starts by itself is refreshed while an image is rewritten")
@pytest.mark.parametrize("asked", ["pool-refresh default", "vol-list default"])
def test_pool(host, asked):
    host.write("/etc/vmtune.yaml", host.read(CONFIG))  # root obeys no file of another user's
    host.run(f"head -c 64M /dev/urandom >/srv/new.raw; mv /srv/new.raw {COPY}; sync")
    was = digest(host, COPY)
    line = f"{SYSTEM} {asked} >/root/asked 2>&1"
    if asked.startswith("vol-list"):  # by its socket, as the first to ask after a boot
        stopped = "systemctl stop libvirtd.service && systemctl start libvirtd.socket"
        line = f"{stopped} && rm -rf /run/libvirt/storage/* && {line}"
    done = host.run(MEANWHILE.replace("ASKED", line), check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.split() != ["0"], "the rewrite was over before libvirt was asked"
    assert "default" in host.run(f"{SYSTEM} pool-list --name").stdout.split()
    assert is_nocow(host, COPY)
    assert digest(host, COPY) == was
    host.run(["rm", COPY])


@pytest.mark.step("libvirt: a user's own machine (qemu:///session), which runs, then is off")
def test_session(host):
    mine, log = f"{MINE}/mine.raw", "/tmp/mine.log"
    host.run(["chattr", "-C", MINE])
    host.run(writer.make(mine), user="alice")  # an earlier apply made the first one nocow
    host.run(f"{SESSION} start mine", user="alice")
    grows(host, log)
    assert "mine.raw" in refused(host, mine)
    host.run(f"{SESSION} destroy mine", user="alice")
    was = digest(host, mine)
    apply(host)
    assert is_nocow(host, mine)
    assert digest(host, mine) == was
    assert host.run(["stat", "-c", "%U", mine]).stdout == "alice\n"
    host.run(f"{SESSION} start mine", user="alice")
    grows(host, log)
    host.run(f"{SESSION} destroy mine", user="alice")


@pytest.mark.step("libvirt: AppArmor denied nothing; afterwards the root is sound")
def test_sound(host):
    whole(host, OVERLAY, "qcow2")
    host.run(f"{SYSTEM} destroy a")
    denied = host.run("journalctl -k -o cat -g 'apparmor=\"DENIED\"'", check=False).stdout
    assert [line for line in denied.splitlines() if "/images/" in line] == []
    host.run(["btrfs", "device", "stats", "--check", "/"])
    host.shut_down()
    check(host)
