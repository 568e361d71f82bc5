"""Running other programs: by absolute path, without a shell, in the C locale."""

from __future__ import annotations

import os
import pwd
import re
import signal
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Self

from reconciler.errors import HostError
from reconciler.value import Value

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator, Sequence


SEARCH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/run/current-system/sw/bin"
"""The system's folders: a user's PATH may lack sbin, and must not choose what root runs."""


def find(name: str) -> str:
    """Absolute path of a program, "" when there is none; a name has no slash in it."""
    if "/" in name:
        return ""
    paths = (f"{folder}/{name}" for folder in SEARCH.split(":"))
    return next((p for p in paths if os.access(p, os.X_OK) and not os.path.isdir(p)), "")


class User(Value):
    """Who a program is run as: with the groups, the home and the sockets of that user."""

    name: str
    uid: int
    gid: int
    home: str

    @property
    def runtime(self) -> str:
        """The folder of the user's sockets, there while the user is logged in (pam_systemd(8))."""
        return f"/run/user/{self.uid}"

    @property
    def environment(self) -> dict[str, str]:
        names = {"USER": self.name, "LOGNAME": self.name, "HOME": self.home}
        return {**names, "XDG_RUNTIME_DIR": self.runtime}

    @property
    def identity(self) -> dict[str, Any]:
        """How subprocess becomes the user; nothing for who is that user already."""
        if os.geteuid() == self.uid:
            return {}
        groups = os.getgrouplist(self.name, self.gid)
        return {"user": self.uid, "group": self.gid, "extra_groups": groups}


def user(name: str) -> User:
    """Return a user by name; HostError where there is none."""
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise HostError(f"there is no user {name}") from None
    return User(entry.pw_name, entry.pw_uid, entry.pw_gid, entry.pw_dir)


def _zone() -> dict[str, str]:
    """The caller's time zone: next runs are told in it."""
    return {"TZ": os.environ["TZ"]} if "TZ" in os.environ else {}


def run(
    name: str, *arguments: str, timeout: float = 60, who: User | None = None
) -> subprocess.CompletedProcess[str]:
    """The finished program, whatever its exit code; HostError when it is missing or hangs.

    Run as another user where ``who`` is given, which only root can.
    """
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
            env={**_plain(), **(who.environment if who else {})},
            cwd="/" if who else None,
            **(who.identity if who else {}),
        )
    except subprocess.TimeoutExpired:
        raise HostError(f"{name} did not answer in {timeout:.0f} s") from None


@contextmanager
def kept(name: str, *arguments: str, who: User) -> Iterator[None]:
    """Have a program run as a user meanwhile: it ends once its standard input does; HostError."""
    import subprocess  # noqa: PLC0415 - most plans run nothing

    try:
        child = subprocess.Popen(
            [find(name), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env={**_plain(), **who.environment},
            cwd="/",
            **who.identity,
        )
    except OSError as error:
        raise HostError(f"{name} cannot be run as {who.name}: {error.strerror}") from None
    try:
        yield
    finally:
        try:
            child.communicate(timeout=5)
        except subprocess.TimeoutExpired:
            child.kill()
            child.communicate()


def _plain() -> dict[str, str]:
    return {**_zone(), "PATH": SEARCH, "LC_ALL": "C.UTF-8"}


def running(names: frozenset[str]) -> bool:
    """Whether this system runs a process of one of these names (proc_pid_comm(5))."""
    return bool(_found(names))


def owners(names: frozenset[str]) -> frozenset[int]:
    """Return whose processes of these names this system runs, by number."""
    found = set()
    for pid in _found(names):
        with suppress(OSError):  # it ended
            found.add(os.stat(f"/proc/{pid}").st_uid)
    return frozenset(found)


def _found(names: frozenset[str]) -> list[str]:
    pids = (pid for pid in os.listdir("/proc") if pid.isdigit())
    return [pid for pid in pids if _name(pid) in names and not _is_contained(pid)]


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


def must(name: str, *arguments: str, timeout: float = 60, who: User | None = None) -> str:
    """Standard output of a program that succeeded; HostError carries its own complaint."""
    done = run(name, *arguments, timeout=timeout, who=who)
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
