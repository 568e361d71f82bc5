"""Running programs by absolute path in the C locale, and what /proc says of them (proc(5))."""

from __future__ import annotations

import os
import pwd
import re
import signal
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from reconciler.errors import HostError
from reconciler.linux.syscalls import closing
from reconciler.value import Value

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator, Sequence
    from types import ModuleType


_PIECE = 1 << 18


def kernel_file(path: str) -> bytes:
    """Read all of a file of the kernel's; OSError."""
    return drained(os.open(path, os.O_RDONLY | os.O_CLOEXEC))


def drained(fd: int) -> bytes:
    """Read all of an open file of the kernel's, and close it."""
    with closing(fd):
        pieces = []
        while piece := os.read(fd, _PIECE):
            pieces.append(piece)
        return b"".join(pieces)


def field(text: bytes, name: bytes) -> bytes:
    """Return what a file of lines ``name: value`` says; b"" where it has no such line."""
    lines = (line.partition(b":") for line in text.split(b"\n"))
    return next((value.strip() for key, _, value in lines if key == name), b"")


def mount_of(fd: int) -> int:
    """Return the number, as in mountinfo, of the mount that an open file is on."""
    return int(field(kernel_file(f"/proc/self/fdinfo/{fd}"), b"mnt_id"))


def named(pid: int | str) -> str:
    """Name a process by its program and number: ``qemu-system-x86 (pid 123)``."""
    return f"{program(pid) or 'a program'} (pid {pid})"


def program(pid: int | str) -> str:
    """Return the name of a process's program (proc_pid_comm(5)); "" where it ended."""
    with suppress(OSError):
        return kernel_file(f"/proc/{pid}/comm").decode("utf-8", "replace").strip()
    return ""


def superblocks() -> dict[int, bytes]:
    """Return by its mount's number each filesystem's device, as /proc/locks has it: ``00:2d``.

    A Btrfs has another one there, and in mountinfo, than its files have for stat(2).
    """
    found = {}
    for line in kernel_file("/proc/self/mountinfo").split(b"\n")[:-1]:
        mount, _, device, _ = line.split(b" ", 3)
        major, minor = device.split(b":")
        found[int(mount)] = b"%02x:%02x" % (int(major), int(minor))
    return found


def pids() -> list[str]:
    """List the processes that this one sees."""
    return [name for name in os.listdir("/proc") if name.isdecimal()]


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


def _subprocess() -> ModuleType:
    """Load the module late: most plans run nothing."""
    import subprocess  # noqa: PLC0415 - see above

    return subprocess


def _settings(who: User | None) -> dict[str, Any]:
    """Return how ``run`` and ``kept`` have subprocess start a program.

    Ctrl-C at the terminal is for vmtune, which lets the running action finish. Next runs are told
    in the caller's time zone.
    """
    environment = {"PATH": SEARCH, "LC_ALL": "C.UTF-8"}
    if "TZ" in os.environ:
        environment["TZ"] = os.environ["TZ"]
    settings = {"start_new_session": True, "env": environment}
    if who:
        settings |= {"env": environment | who.environment, "cwd": "/", **who.identity}
    return settings


def run(
    name: str, *arguments: str, timeout: float = 60, who: User | None = None
) -> subprocess.CompletedProcess[str]:
    """The finished program, whatever its exit code; HostError when it is missing or hangs.

    Run as another user where ``who`` is given, which only root can.
    """
    program = find(name)
    if not program:
        raise HostError(f"{name} is not installed")
    late = _subprocess()
    try:
        done: subprocess.CompletedProcess[str] = late.run(
            [program, *arguments],
            stdin=late.DEVNULL,
            capture_output=True,
            check=False,
            timeout=timeout,
            text=True,
            errors="surrogateescape",
            **_settings(who),
        )
    except late.TimeoutExpired:
        raise HostError(f"{name} did not answer in {timeout:.0f} s") from None
    return done


@contextmanager
def kept(name: str, *arguments: str, who: User) -> Iterator[None]:
    """Have a program run as a user meanwhile: it ends once its standard input does; HostError."""
    late = _subprocess()
    try:
        child = late.Popen(
            [find(name), *arguments],
            stdin=late.PIPE,
            stdout=late.DEVNULL,
            stderr=late.DEVNULL,
            **_settings(who),
        )
    except OSError as error:
        raise HostError(f"{name} cannot be run as {who.name}: {error.strerror}") from None
    try:
        yield
    finally:
        try:
            child.communicate(timeout=5)
        except late.TimeoutExpired:
            child.kill()
            child.communicate()


def running(names: frozenset[str]) -> bool:
    """Whether this system runs a process of one of these names (proc_pid_comm(5))."""
    return bool(owners(names))


def owners(names: frozenset[str]) -> frozenset[int]:
    """Return whose processes of these names this system runs, by number."""
    found = set()
    for pid in pids():
        if program(pid) in names:
            with suppress(OSError):  # it ended
                numbers = field(kernel_file(f"/proc/{pid}/status"), b"NSpid").split()
                if not numbers[1:]:  # a container's has a number in another PID namespace, too
                    found.add(os.stat(f"/proc/{pid}").st_uid)
    return frozenset(found)


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


def attend(argv: Sequence[str], line: Callable[[str], None] | None = None) -> tuple[int, bool]:
    """Run a program on this one's terminal to its end, which a signal to this one is not.

    A signal is handled, not ignored: that the program would inherit. Ctrl-C reaches it by the
    terminal. Each line of its standard output goes to ``line``, where that is given.
    Returns the exit code, below 0 the signal that ended it; and whether Ctrl-C was pressed.
    """
    late = _subprocess()
    heard: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, lambda got, _: heard.append(got)) for number in numbers}
    try:
        out = late.PIPE if line else None
        with late.Popen(argv, stdout=out, text=True, errors="surrogateescape") as child:
            if line:
                for text in child.stdout:
                    line(text.rstrip("\n"))
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return child.returncode, signal.SIGINT in heard
