"""vmtune stopped in the middle, at one of its system calls, while something happens beside it."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.btrfs.outside import run
from tests.btrfs.sandbox import TOP
from tests.btrfs.world import until

_LOG = TOP / "t" / "strace.log"


def stopping(*calls: str) -> list[str]:
    """The program behind this stops once such a call has returned: ``NAME`` or ``NAME:when=2``."""
    injected = []
    for call in calls:
        name, _, when = call.partition(":")
        injected += ["-e", f"inject={name}:signal=SIGSTOP{when and ':'}{when}"]
    _LOG.unlink(missing_ok=True)
    names = ",".join(call.partition(":")[0] for call in calls)
    only = ["-e", f"trace={names}", "-e", "signal=SIGSTOP,SIGCONT"]
    return ["strace", "-f", "-qq", "-o", str(_LOG), *only, *injected]


def stopped(strace: subprocess.Popen[str], what: str) -> int:
    """Wait until the program behind ``stopping`` has stopped; its process."""
    pid = 0

    def ready() -> bool:
        nonlocal pid
        children = Path(f"/proc/{strace.pid}/task/{strace.pid}/children").read_text().split()
        pid = int(children[0]) if children else 0
        return bool(pid) and _stopped(pid)

    until(what, ready)
    return pid


def stops(strace: subprocess.Popen[str]) -> Iterator[int]:
    """Each time that the program has stopped, until it ends: the count; it goes on afterwards."""
    count = 0
    while strace.poll() is None:
        children = Path(f"/proc/{strace.pid}/task/{strace.pid}/children").read_text().split()
        if children and _stopped(int(children[0])):
            yield count
            count += 1
            os.kill(int(children[0]), signal.SIGCONT)
        time.sleep(0.01)


def _stopped(pid: int) -> bool:
    """For good: under strace(1) it also stops for a moment at every call, and at its start."""
    log = _LOG.read_text() if _LOG.exists() else ""
    if log.count("--- SIGSTOP {") <= log.count("--- SIGCONT {"):
        return False
    for _ in range(12):
        try:
            states = [Path(f"/proc/{pid}/task/{t}/stat") for t in os.listdir(f"/proc/{pid}/task")]
            if any(path.read_text().rpartition(")")[2].split()[0] not in "tT" for path in states):
                return False
        except (FileNotFoundError, ProcessLookupError):  # with -f strace(1) tries itself out first
            return False
        time.sleep(0.03)
    return True


@contextmanager
def paused(strace: subprocess.Popen[str], what: str) -> Iterator[int]:
    """Within it the program has stopped; then it goes on."""
    pid = stopped(strace, what)
    try:
        yield pid
    finally:
        os.kill(pid, signal.SIGCONT)


def copied(disk: str, to: str = "cut.img") -> Path:
    """What a disk without a cache of its own holds at this moment."""
    target = TOP / "images" / to
    run("cp", "--sparse=always", TOP / "images" / f"{disk}0.img", target)
    return target


def mount_copy(copy: Path, target: Path) -> None:
    """With the UUID of its original: no older copy, unmounted, may still be known under it.

    Others who mount and scan on this machine may have it known again in between.
    """
    for last in (False, False, True):
        run("btrfs", "device", "scan", "--forget")
        try:
            run("mount", "-o", "loop", copy, target)
        except AssertionError as error:
            if last or "File exists" not in str(error):
                raise
        else:
            return
