"""What a look at the mounts of all namespaces costs, on a host with many processes."""

import json
import os
import subprocess
from contextlib import ExitStack

from tests import patience
from tests.btrfs.images.test_in_use_matrix import _is_kept, _program
from tests.btrfs.outside import run
from tests.btrfs.sandbox import PROGRAM
from tests.btrfs.world import _ENV, World, until

PROCESSES, NAMESPACES = 500, 20
_SLEEPERS = f"""
for i in $(seq {NAMESPACES}); do
    unshare --mount sh -c 'mount -t tmpfs t /mnt; exec sleep 600' &
done
for i in $(seq {PROCESSES}); do sleep 600 & done
echo ready
wait
"""
_LOOK = """
import json, time
from reconciler.linux import mount_holds
took = []
for _ in range(9):
    before = time.process_time()
    found = mount_holds.look()
    took.append(time.process_time() - before)
print(json.dumps([min(took), len(found.mounts)]))
"""
BUDGET = 0.05


def test_the_mounts_of_all_namespaces(host: World):
    argv = ["setsid", "sh", "-c", _SLEEPERS]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as sleepers:
        assert sleepers.stdout
        assert sleepers.stdout.readline() == "ready\n"
        try:
            found = subprocess.run(
                [PROGRAM[0], "-c", _LOOK],
                capture_output=True,
                text=True,
                env=_ENV,
                cwd="/",
                check=True,
            )
        finally:
            subprocess.run(["kill", "-9", "--", f"-{sleepers.pid}"], check=True)
    took, mounts = json.loads(found.stdout)
    assert mounts > NAMESPACES * 10, "it has seen them"
    assert took < BUDGET * patience.FACTOR
    assert host.area


_BOTH_WAYS = """
import json, os, subprocess, sys, threading
from reconciler.linux import in_use, namespaces

def seen():
    kept = in_use.look_at_processes(maps=False).spaces
    spaces, unseen = namespaces.every(lambda _: (), kept)
    marker = sys.argv[2].encode()
    return sum(any(marker in row.rest for row in s.mounts.values()) for s in spaces)

listed = seen()
namespaces._Tour._listed = lambda _: False
searched = seen()
def no(_):
    raise RuntimeError
threading.Thread.start = no
alone, at = seen(), os.stat("/proc/self/ns/mnt").st_ino == int(sys.argv[1])
print(json.dumps([listed, searched, alone, at and os.getcwd() == "/media"]))
"""


def test_namespaces_are_found_alike_with_and_without_a_list(host: World):
    """By a process, by a descriptor of a program outside of it, and by a mount of its file."""
    marker = f"vmtune-{os.getpid()}"
    mount = ["mount", "-t", "tmpfs", marker, "/mnt"]
    script = f"{' '.join(mount)}; echo; exec cat"
    with ExitStack() as stack:
        for number in range(3):
            argv = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script]
            inside = stack.enter_context(_program(argv))
            assert inside.stdout
            inside.stdout.readline()
            if number == 1:  # only a descriptor keeps it
                fd = os.open(f"/proc/{inside.pid}/ns/mnt", os.O_RDONLY)
                stack.callback(os.close, fd)
                inside.kill()
                inside.wait()
        file = host.area / "kept"
        file.touch()
        until("a namespace that may be mounted", lambda: _is_kept(file))
        stack.callback(run, "umount", file)
        run("nsenter", f"--mount={file}", *mount)
        own = str(os.stat("/proc/self/ns/mnt").st_ino)
        argv = [PROGRAM[0], "-c", _BOTH_WAYS, own, marker]
        answer = subprocess.run(
            argv, capture_output=True, text=True, env=_ENV, cwd="/media", check=True
        )
    listed, searched, alone, is_back = json.loads(answer.stdout)
    assert (listed, searched, alone) == (4, 4, 4)
    assert is_back
