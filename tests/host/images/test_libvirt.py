"""init and doctor on a host with a running libvirt, a pool and two domains: what virsh says."""

import json
import re

import pytest

from tests.host import installed
from tests.host.container import ZSTD_FSTAB, Container
from tests.host.installed import ALICES
from tests.host.sandbox import LIBVIRT
from tests.oracles import oracle

IMAGES = "/var/lib/libvirt/images"
VIRSH = ["virsh", "-q", "-c", "qemu:///system"]
DOMAIN = """<domain type='qemu'><name>{name}</name><memory>65536</memory>
<os><type arch='x86_64'>hvm</type></os><devices>
<disk type='file' device='disk'><source file='{disk}'/><target dev='vda' bus='virtio'/></disk>
</devices></domain>"""
VOLUME = """<domain type='qemu'><name>volume</name><memory>65536</memory>
<os><type arch='x86_64'>hvm</type></os><devices>
<disk type='volume' device='disk'><source pool='big' volume='{volume}'/>
<target dev='vda' bus='virtio'/></disk></devices></domain>"""
POOL = "/srv/pool"
# An image is rewritten, slowly, while libvirt is asked for something; told is what was seen then.
MEANWHILE = """
strace -f -qq -o /dev/null -e trace=pwritev2 -e inject=pwritev2:delay_enter=400000 \
    /home/alice/.local/bin/vmtune --config /root/pool.yaml apply --yes >/root/log 2>&1 & vmtune=$!
until grep -q 'LEASE.* READ ' /proc/locks; do sleep 0.05; done
{asked} >/root/asked 2>&1; echo asked $?
echo leases $(grep -c LEASE /proc/locks)
wait $vmtune; echo vmtune $?
cat /root/asked /root/log >&2
"""


@pytest.fixture(scope="module")
def host(make_container, wheelhouse) -> Container:
    """As libvirt's own commands set it up; its pool was defined and started, never built."""
    container = make_container(fstab=ZSTD_FSTAB, packages=LIBVIRT, size="4G")
    installed.for_alice(container, wheelhouse)
    installed.let_alice_sudo(container)
    container.run("mkdir -p -m 711 /srv/other && truncate -s 64M /srv/other/extra.raw")
    container.run([*VIRSH, "pool-define-as", "default", "dir", "--target", IMAGES])
    container.run([*VIRSH, "pool-start", "default"])
    container.run([*VIRSH, "vol-create-as", "default", "win.raw", "16M"])
    for name, disk in (("win11", f"{IMAGES}/win.raw"), ("extra", "/srv/other/extra.raw")):
        container.write("/root/domain.xml", DOMAIN.format(name=name, disk=disk).encode())
        container.run([*VIRSH, "define", "/root/domain.xml"])
    return container


def init(host: Container, command: str = ALICES) -> str:
    return host.run(f"{command} init", user="alice").stdout


def said_of(text: str, path: str) -> str:
    (block,) = [each for each in text.split("\n\n") if f"- path: {path}\n" in f"{each}\n"]
    return " ".join(re.sub(r"\n\s*#", " ", block).split())


def check_pool_and_domains(text: str) -> None:
    assert "libvirt pool default (system)" in said_of(text, IMAGES)
    assert "domain win11 (system)" in said_of(text, IMAGES)
    assert "domain extra (system)" in said_of(text, "/srv/other")


def test_as_root_it_finds_what_virsh_lists(host):
    names = host.run([*VIRSH, "list", "--all", "--name"]).stdout.split()
    assert sorted(names) == ["extra", "win11"]
    text = init(host, f"sudo {ALICES}")
    check_pool_and_domains(text)
    assert "a copy-on-write directory" in said_of(text, IMAGES)
    assert "C" not in host.run(["lsattr", "-d", IMAGES]).stdout.split()[0]
    assert "compress=zstd:3" in text
    assert "compress=zstd:3" in installed.live(host, "/")


def test_without_root_a_running_libvirt_answers_what_its_files_do_not(host):
    assert host.run(["cat", "/etc/libvirt/qemu/win11.xml"], user="alice", check=False).returncode
    host.run([*VIRSH, "list"])  # libvirtd goes away when nobody asks it for two minutes
    text = init(host)
    check_pool_and_domains(text)
    assert "not readable as alice" in said_of(text, IMAGES)


def test_a_libvirt_that_does_not_run_is_not_started(host):
    host.run("systemctl stop libvirtd.service")
    text = init(host)
    unseen = text.partition("version: 1")[0]
    assert "Permission denied" in unseen
    assert f"{IMAGES}: not all of it could be looked through" in unseen
    check_pool_and_domains(init(host, f"sudo {ALICES}"))
    state = host.run(["systemctl", "is-active", "libvirtd.service"], check=False).stdout.strip()
    assert state == "inactive"


def test_what_it_prints_is_valid_and_applied_as_it_stands(host):
    line = f"sudo {ALICES} init | sudo {ALICES} validate /dev/stdin"
    assert "valid; 2 entries" in host.run(line, user="alice").stdout
    host.run(f"sudo {ALICES} init -o ~/vmtune.yaml", user="alice")
    assert host.run(["stat", "-c", "%U %a", "/home/alice/vmtune.yaml"]).stdout == "alice 644\n"
    done = host.run(f"sudo {ALICES} --config ~/vmtune.yaml apply --yes", user="alice", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for folder in (IMAGES, "/srv/other"):
        assert "C" in host.run(["lsattr", "-d", folder]).stdout.split()[0]
    host.run([*VIRSH, "vol-create-as", "default", "new.raw", "1M"])
    assert "C" in host.run(["lsattr", f"{IMAGES}/new.raw"]).stdout.split()[0]


def test_doctor_on_the_running_host(host):
    done = host.run(f"sudo {ALICES} doctor --json", user="alice")
    rows = {row["code"]: row for row in json.loads(done.stdout)["rows"]}
    assert rows["V504"]["text"].startswith("systemd")
    assert rows["V515"]["health"] == "ok"
    assert rows["V502"]["text"] in host.run(["btrfs", "--version"]).stdout


def rewritten_meanwhile(host: Container, name: str, asked: str) -> None:
    """A new image of a pool, not nocow, is rewritten, and libvirt asked; both go well."""
    host.run(f"head -c 120M /dev/urandom >/srv/{name} && mv /srv/{name} {POOL}/{name} && sync")
    before = host.run(["sha256sum", f"{POOL}/{name}"]).stdout
    assert not installed.is_nocow(host, f"{POOL}/{name}")
    done = host.run(MEANWHILE.format(asked=asked))
    told = dict(line.split() for line in done.stdout.splitlines())
    assert told == {"asked": "0", "leases": "1", "vmtune": "0"}, done.stdout + done.stderr
    assert "big" in host.run([*VIRSH, "pool-list", "--name"]).stdout.split()  # the active ones
    assert installed.is_nocow(host, f"{POOL}/{name}")
    assert host.run(["sha256sum", f"{POOL}/{name}"]).stdout == before
    assert ".vmtune" not in host.run(["ls", "-A", POOL]).stdout


@pytest.fixture(scope="module")
def pool(host: Container) -> Container:
    """With another pool, of its own."""
    entry = f"  - {{path: {POOL}, nocow: true, existing: rewrite}}\n"
    host.write("/root/pool.yaml", f"version: 1\npaths:\n{entry}".encode())
    host.run(["mkdir", POOL])
    host.run([*VIRSH, "pool-define-as", "big", "dir", "--target", POOL])
    host.run([*VIRSH, "pool-start", "big"])
    return host


def test_a_pool_is_refreshed_while_an_image_in_it_is_rewritten(pool):
    """Libvirt opens each file of it with O_NONBLOCK, and gives the pool up if it cannot."""
    rewritten_meanwhile(pool, "one.raw", "virsh -q -c qemu:///system pool-refresh big")
    assert "one.raw" in pool.run([*VIRSH, "vol-list", "big"]).stdout


def test_libvirt_starts_while_an_image_is_rewritten(pool):
    """By its socket, as any `virsh list` starts it, with a pool that starts by itself."""
    pool.run([*VIRSH, "pool-autostart", "big"])
    pool.run("systemctl stop libvirtd.service && systemctl start libvirtd.socket")
    # An active pool is remembered in /run; one that only starts by itself is what a boot has.
    pool.run("rm -rf /run/libvirt/storage/*")
    rewritten_meanwhile(pool, "two.raw", "virsh -q -c qemu:///system vol-list big")
    pool.write("/root/domain.xml", VOLUME.format(volume="two.raw").encode())
    pool.run([*VIRSH, "create", "/root/domain.xml"])
    assert pool.run([*VIRSH, "domstate", "volume"]).stdout.strip() == "running"
    pool.run([*VIRSH, "destroy", "volume"])


@oracle("virsh", "V505")
def test_a_pool_that_says_copy_on_write(host):
    host.run([*VIRSH, "pool-destroy", "default"])
    xml = host.run([*VIRSH, "pool-dumpxml", "default"]).stdout
    cow = "<features><cow state='yes'/></features>"
    host.write("/root/pool.xml", xml.replace("</pool>", f"{cow}</pool>").encode())
    host.run([*VIRSH, "pool-define", "/root/pool.xml"])
    text = init(host, f"sudo {ALICES}")
    assert f"# - path: {IMAGES}\n" in text
    assert "its pool says <cow state='yes'/>" in said_of(text, IMAGES)
    # What doctor warns of is what libvirt then does.
    assert "C" in host.run(["lsattr", "-d", IMAGES]).stdout.split()[0]
    host.run([*VIRSH, "pool-build", "default"])
    assert "C" not in host.run(["lsattr", "-d", IMAGES]).stdout.split()[0]
