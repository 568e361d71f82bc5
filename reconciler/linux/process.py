"""Running other programs: by absolute path, without a shell, in the C locale."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from reconciler.errors import HostError

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Sequence


SEARCH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/run/current-system/sw/bin"
"""The system's folders: a user's PATH may lack sbin, and must not choose what root runs."""


def find(name: str) -> str:
    """Absolute path of a program, "" when there is none; a name has no slash in it."""
    if "/" in name:
        return ""
    paths = (f"{folder}/{name}" for folder in SEARCH.split(":"))
    return next((p for p in paths if os.access(p, os.X_OK) and not os.path.isdir(p)), "")


def _zone() -> dict[str, str]:
    """The caller's time zone: next runs are told in it."""
    return {"TZ": os.environ["TZ"]} if "TZ" in os.environ else {}


def run(name: str, *arguments: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """The finished program, whatever its exit code; HostError when it is missing or hangs."""
    program = find(name)
    if not program:
        raise HostError(f"{name} is not installed")
    import subprocess  # noqa: PLC0415 - most plans run nothing

    try:
        return subprocess.run(
            [program, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=timeout,
            text=True,
            errors="surrogateescape",
            # Ctrl-C at the terminal is for vmtune, which lets the running action finish.
            start_new_session=True,
            env={**_zone(), "PATH": SEARCH, "LC_ALL": "C.UTF-8"},
        )
    except subprocess.TimeoutExpired:
        raise HostError(f"{name} did not answer in {timeout:.0f} s") from None


def running(names: frozenset[str]) -> bool:
    """Whether this system runs a process of one of these names (proc_pid_comm(5))."""
    pids = (pid for pid in os.listdir("/proc") if pid.isdigit())
    return any(_name(pid) in names and not _is_contained(pid) for pid in pids)


def _is_contained(pid: str) -> bool:
    """Whether it is a container's: it has a number in another PID namespace too (NSpid)."""
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            numbers = next((line for line in file if line.startswith(b"NSpid:")), b"")
    except OSError:  # it ended
        return True
    return len(numbers.split()) > 2  # noqa: PLR2004 - the word itself, and its number here


def _name(pid: str) -> str:
    try:
        fd = os.open(f"/proc/{pid}/comm", os.O_RDONLY | os.O_CLOEXEC)  # a hundred: raw
        try:
            return os.fsdecode(os.read(fd, 64).strip())
        finally:
            os.close(fd)
    except OSError:  # it ended
        return ""


def version(name: str) -> str:
    """The first number with a dot that ``--version`` prints; "" where there is no such program."""
    if not find(name):
        return ""
    done = run(name, "--version", timeout=10)
    found = re.search(r"\d+(?:\.\d+)+", done.stdout + done.stderr)
    return found[0] if found else "?"


def must(name: str, *arguments: str, timeout: float = 60) -> str:
    """Standard output of a program that succeeded; HostError carries its own complaint."""
    done = run(name, *arguments, timeout=timeout)
    if done.returncode:
        said = (done.stderr or done.stdout).strip() or "no message"
        raise HostError(f"{name} {' '.join(arguments)}: exit {done.returncode}: {said}")
    return done.stdout


def relay(argv: Sequence[str], line: Callable[[str], None]) -> int:
    """Run a program on this one's terminal to its end, which a signal to this one is not.

    Each line of its standard output goes to ``line``. The exit code as a shell
    has it: above 128, the signal that ended it.
    """
    import signal  # noqa: PLC0415 - most plans run nothing
    import subprocess  # noqa: PLC0415

    # Handled, not ignored: that the program would inherit. Ctrl-C reaches it by the terminal.
    handled = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, lambda *_: None) for number in handled}
    try:
        with subprocess.Popen(
            argv, stdout=subprocess.PIPE, text=True, errors="surrogateescape"
        ) as child:
            for text in child.stdout or ():
                line(text.rstrip("\n"))
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return child.returncode if child.returncode >= 0 else 128 - child.returncode
