"""A host with a running guest and one that is shut off: from init to images that are rewritten."""

import json

import pytest
import yaml

from tests.host import installed
from tests.host.container import ZSTD_FSTAB, Container
from tests.host.installed import ALICES
from tests.host.sandbox import LIBVIRT

IMAGES = "/var/lib/libvirt/images"
BUSY, IDLE = f"{IMAGES}/busy.raw", f"{IMAGES}/idle.qcow2"
CONFIG = "/home/alice/.config/vmtune/vmtune.yaml"
VIRSH = ["virsh", "-q", "-c", "qemu:///system"]
DOMAIN = """<domain type='qemu'><name>{name}</name><memory>16384</memory>
<os><type arch='x86_64'>hvm</type></os><devices><disk type='file' device='disk'>
<driver name='qemu' type='{format}'/><source file='{disk}'/><target dev='vda' bus='virtio'/>
</disk></devices></domain>"""
# A guest of its own: data that compresses, then a block in each cluster from the last one down.
_FILL = f"""
{{ echo write -P 7 24M 4M; for at in $(seq 200 -1 1); do
    echo write -P $at $((at * 68))k 4k; echo flush
done; }} | qemu-io -f qcow2 {IDLE}
"""


@pytest.fixture(scope="module")
def host(make_container, wheelhouse) -> Container:
    """The domains have no system to boot; what matters is that qemu has the image open."""
    container = make_container(fstab=ZSTD_FSTAB, packages=LIBVIRT)
    installed.for_alice(container, wheelhouse)
    installed.let_alice_sudo(container)
    container.run([*VIRSH, "pool-define-as", "default", "dir", "--target", IMAGES])
    container.run([*VIRSH, "pool-start", "default"])
    container.run([*VIRSH, "vol-create-as", "default", "idle.qcow2", "32M", "--format", "qcow2"])
    container.run(_FILL)
    installed.guest(container, BUSY, 8, 400)
    for name, disk, kind in (("busy", BUSY, "raw"), ("idle", IDLE, "qcow2")):
        xml = DOMAIN.format(name=name, disk=disk, format=kind)
        container.write("/root/domain.xml", xml.encode())
        container.run([*VIRSH, "define", "/root/domain.xml"])
    container.run([*VIRSH, "start", "busy"])
    return container


def vmtune(host: Container, arguments: str, code: int = 0, sudo: str = "sudo ") -> str:
    """What it says, in one line."""
    done = host.run(f"{sudo}{ALICES} {arguments}", user="alice", check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return " ".join(done.stdout.replace("#", " ").split())


def domstate(host: Container, name: str) -> str:
    return host.run([*VIRSH, "domstate", name]).stdout.strip()


def compressed(host: Container, path: str) -> bool:
    """By compsize(8), which has a row for each algorithm in use."""
    return "zstd" in host.run(["compsize", path]).stdout


def same_inside(host: Container, path: str) -> None:
    host.run(["qemu-img", "check", path])
    assert host.run(f"qemu-img compare {path} /root/before.qcow2").stdout.startswith("Images are")


def images(host: Container) -> dict[str, dict[str, object]]:
    done = host.run(f"sudo {ALICES} status --json", user="alice", check=False)
    [path] = json.loads(done.stdout)["effect"]["paths"]
    return {each["path"].rpartition("/")[2]: each for each in path["images"]}


def test_init_finds_both_and_its_file_is_valid(host):
    vmtune(host, f"init -o {CONFIG}")
    told = " ".join(host.read(CONFIG).decode().replace("#", " ").split())
    assert "libvirt pool default (system); domains busy, idle (system); 2 image files" in told
    assert "1 entry for" in vmtune(host, "validate", sudo="")
    [entry] = yaml.safe_load(host.read(CONFIG))["paths"]
    assert entry == {"path": IMAGES, "nocow": True, "existing": "rewrite"}


def test_plan_names_the_guest_that_runs(host):
    assert domstate(host, "busy") == "running"
    assert domstate(host, "idle") == "shut off"
    pid = host.run(["pidof", "qemu-system-x86_64"]).stdout.strip()
    told = vmtune(host, "plan --detailed-exitcode", code=2)
    assert f"! images {BUSY} V702 why not rewritten: in use by qemu-system-x86 (pid {pid})" in told
    assert "images 1 file copy-on-write -> nocow also idle.qcow2: " in told
    assert vmtune(host, "plan --detailed-exitcode", code=6, sudo="").count("not readable") == 1


def test_apply_rewrites_the_one_and_leaves_the_other(host):
    host.run(["cp", IDLE, "/root/before.qcow2"])
    before = host.run(["stat", "-c", "%i %U", BUSY]).stdout
    assert installed.fragments(host, IDLE) > 100
    assert compressed(host, IDLE)
    told = vmtune(host, "apply --yes", code=7)
    assert "V702" in told
    assert "verified: 2 of 2" in told
    for path in (IMAGES, IDLE):
        assert installed.is_nocow(host, path)
    assert not compressed(host, IDLE)
    assert installed.fragments(host, IDLE) < 5
    same_inside(host, IDLE)
    assert not installed.is_nocow(host, BUSY)
    assert host.run(["stat", "-c", "%i %U", BUSY]).stdout == before
    assert domstate(host, "busy") == "running"


def test_status_and_doctor_tell_of_what_is_left(host):
    assert "V702" in vmtune(host, "status", code=7)
    told = images(host)
    for name, path in (("busy.raw", BUSY), ("idle.qcow2", IDLE)):
        assert told[name]["fragments"] == installed.fragments(host, path)
        assert told[name]["nocow"] is installed.is_nocow(host, path)
    done = host.run(f"sudo {ALICES} doctor --json", user="alice", check=False)
    rows = {row["code"]: row for row in json.loads(done.stdout)["rows"]}
    assert "1 file with data is copy-on-write" in rows["V514"]["text"]
    assert "compress=zstd:3" in installed.live(host, "/")
    assert "compression zstd:3, now and at boot" in vmtune(host, "status", code=7)


def test_a_run_in_the_background_waits_for_it(host):
    """Alice's, who becomes root by sudo: no terminal, and none to ask for a password."""
    as_alice = "--uid=alice --setenv=HOME=/home/alice"
    ours = f"/home/alice/.local/bin/vmtune --config {CONFIG}"
    host.run(f"systemd-run --unit=waits --no-block {as_alice} {ours} apply --yes --wait")
    host.run("until journalctl -u waits | grep -q 'waiting for image'; do sleep 0.2; done")
    assert f"waiting for image {BUSY}: in use by qemu-system-x86 (pid" in logged(host)
    assert " apply --yes --approved " in logged(host)
    assert " --wait" in logged(host)
    assert not installed.is_nocow(host, BUSY)
    assert domstate(host, "busy") == "running"


def logged(host: Container) -> str:
    return host.run(["journalctl", "-o", "cat", "-u", "waits"]).stdout


def test_shut_down_it_is_rewritten_too_and_both_start(host):
    was = installed.digest(host, BUSY)
    assert installed.fragments(host, BUSY) > 100
    host.run([*VIRSH, "destroy", "busy"])
    host.run("while systemctl is-active -q waits; do sleep 0.1; done")
    assert "verified: 1 of 1 read back as planned" in logged(host)
    assert installed.failed(host) == ""
    assert installed.is_nocow(host, BUSY)
    assert installed.fragments(host, BUSY) < 4
    assert installed.digest(host, BUSY) == was
    for name in ("busy", "idle"):
        host.run([*VIRSH, "start", name])
        assert domstate(host, name) == "running"
    assert "As declared: 2 in sync." in vmtune(host, "status")
    assert "Nothing to do" in vmtune(host, "plan --detailed-exitcode")
    done = host.run(f"sudo {ALICES} doctor --json", user="alice")
    assert {row["health"] for row in json.loads(done.stdout)["rows"]} == {"ok"}
