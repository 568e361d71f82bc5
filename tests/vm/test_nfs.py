"""What a client of the kernel's NFS server has: nobody sees it on this host, so all is left."""

from pathlib import Path

import pytest

from tests.host.installed import is_nocow
from tests.oracles import oracle
from tests.vm import nfs
from tests.vm.machine import Guest
from tests.vm.program import REFUSED, apply, check, declare, install, plan

THERE = "/srv/vm/images"
IMAGE = f"{THERE}/a.raw"
DECLARED = f"paths: [{{path: {THERE}, nocow: true, existing: rewrite, subvolume: true}}]\n"
SCRIPT = "/root/nfs.py"
OK, STALE = "0", "70"


@pytest.fixture(scope="module")
def host(make_guest) -> Guest:
    """An image in a directory that the kernel exports, as /var/lib/nfs/etab says."""
    guest = make_guest(drives=["1G"])
    install(guest)
    guest.run(["mkfs.btrfs", "-q", "/dev/vdb"])
    guest.run(["mkdir", "/srv/vm"])
    guest.run(["mount", "/dev/vdb", "/srv/vm"])
    guest.run(f"mkdir {THERE}; head -c 4M /dev/urandom >{IMAGE}; sync")
    guest.push(Path(nfs.__file__), SCRIPT)
    guest.handle = guest.run(["python3", SCRIPT, "export", THERE, IMAGE]).stdout.strip()
    guest.write("/var/lib/nfs/etab", f"{THERE}\t127.0.0.1(rw,no_root_squash,fsid=7)\n".encode())
    return guest


def written(guest: Guest, text: str) -> str:
    """What the kernel's NFS server answers to a client that writes by the image's handle."""
    return guest.run(["python3", SCRIPT, "write", guest.handle, text]).stdout.strip()


def begins(guest: Guest, length: int) -> str:
    return guest.run(["head", "-c", str(length), IMAGE]).stdout


@pytest.mark.step("NFS: a client writes to an image that nobody has open here: it is left alone")
@oracle("nfsd", "V714", "V616")
def test_left_alone(host):
    """No process of the host has the image, and the client writes to it all the same."""
    declare(host, DECLARED)
    apply(host, REFUSED)
    assert written(host, "by a client") == OK
    assert begins(host, 11) == "by a client"
    assert IMAGE not in host.run("ls -l /proc/[0-9]*/fd 2>/dev/null", check=False).stdout
    shown = plan(host, REFUSED)
    assert "V616" in shown[f"subvolume {THERE}"]
    assert "V714" in shown[f"images {IMAGE}"]
    apply(host, REFUSED)
    assert not is_nocow(host, IMAGE)


@pytest.mark.step("NFS: what a client writes to an image that was replaced is lost")
@oracle("nfsd", "V714", "V616")
def test_why(host):
    """The server goes on with the old file, which has no name any more, as long as it runs."""
    host.run(f"cp {IMAGE} {THERE}/new && mv {THERE}/new {IMAGE}")
    assert written(host, "and is lost") == OK
    assert begins(host, 11) == "by a client"
    host.run(["python3", SCRIPT, "restart", THERE])
    assert written(host, "and is lost") == STALE
    assert begins(host, 11) == "by a client"
    host.shut_down()
    check(host, 1)
