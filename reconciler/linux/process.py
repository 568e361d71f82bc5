"""Running other programs: by absolute path, without a shell, in the C locale."""

from __future__ import annotations

import os
import re
import signal
from typing import TYPE_CHECKING, Any, Self

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
    import subprocess  # noqa: PLC0415 - most plans run nothing

    with (
        _Outlived(),
        subprocess.Popen(
            argv, stdout=subprocess.PIPE, text=True, errors="surrogateescape"
        ) as child,
    ):
        for text in child.stdout or ():
            line(text.rstrip("\n"))
    return child.returncode if child.returncode >= 0 else 128 - child.returncode


def attend(argv: Sequence[str]) -> tuple[int, bool]:
    """Run a program in place of this one to its end; also say whether Ctrl-C was pressed meanwhile.

    The exit code; below 0, the signal that ended it.
    """
    import subprocess  # noqa: PLC0415 - most plans run nothing

    with _Outlived() as outlived:
        code = subprocess.call(argv)
    return code, outlived.is_interrupted


class _Outlived:
    """While entered, a signal that is meant for a program being run does not end this one.

    It is handled, not ignored: that the program would inherit. Ctrl-C reaches it by the terminal.
    """

    def __init__(self) -> None:
        self.is_interrupted = False
        self._before: dict[int, Any] = {}

    def _note(self, number: int, _frame: object) -> None:
        self.is_interrupted |= number == signal.SIGINT

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
