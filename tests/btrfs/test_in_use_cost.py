"""What a look at the mounts of all namespaces costs, on a host with many processes."""

import json
import subprocess

from tests.btrfs.sandbox import PROGRAM
from tests.btrfs.world import _ENV, World

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
from reconciler.host.in_use import mounted
took = []
for _ in range(9):
    before = time.process_time()
    found = mounted.look()
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
    assert took < BUDGET
    assert host.area
