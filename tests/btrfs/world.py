"""The host of one test: a Btrfs subvolume, an empty /etc/fstab, and vmtune as a real process."""

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import termios
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests import patience
from tests.btrfs.forking import Server, truly
from tests.btrfs.outside import run
from tests.btrfs.sandbox import PROGRAM, TOP, guard

FSTAB = Path("/etc/fstab")
NOBODY, ALICE = 65534, 61000
_ENV = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "PYTHONDONTWRITEBYTECODE": "1",
    "COLUMNS": "2000",  # nothing is wrapped: what is printed can be searched
    "LC_ALL": "C.UTF-8",
    "HOME": "/root",
}
_AT_THE_START = ("PYTHON", "LC_", "LANG", "TZ", "LD_", "MALLOC_")
"""Variables that are read before the program begins: who is forked comes too late for them."""


_HEADLINES = frozenset(["+ ", "~ ", "- ", "! ", "? ", "R ", "= "])


@dataclass(frozen=True)
class Ran:
    """A finished vmtune."""

    code: int
    out: str
    err: str

    def __str__(self) -> str:
        return f"exit {self.code}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"

    def row(self, words: str) -> str:
        """The one row of the plan that has these words, on one line: headline and what is below."""
        found = [row for row in self.rows if words in row]
        assert len(found) == 1, f"{words!r} is in {len(found)} rows\n{self}"
        return found[0]

    def line(self, words: str) -> str:
        """The one line that has these words."""
        found = [line for line in self.out.splitlines() if words in line]
        assert len(found) == 1, f"{words!r} is in {len(found)} lines\n{self}"
        return found[0].strip()

    @property
    def rows(self) -> list[str]:
        """Each row on one line, and each other line; without what the last lines repeat."""
        last = re.compile(r"`vmtune explain|Nothing to change;|Not all is |\d+ refused: ")
        found: list[str] = []
        heads: list[str] = []
        body: list[str] = []
        for line in (*(line for line in self.out.splitlines() if not last.match(line)), ""):
            if line.startswith("    ") and heads:
                body.append(" ".join(line.split()))
                continue
            is_head = line[:2] in _HEADLINES
            if body or not is_head:  # headlines one below the other have one body: one reason
                found += ["   ".join([head, *body]) for head in heads]
                heads, body = [], []
            if is_head:
                heads.append(line.strip())
            else:
                found.append(line.strip())
        return found


@dataclass(frozen=True)
class Image:
    """A mounted Btrfs of its own."""

    path: Path
    uuid: str
    device: str

    def line(self, options: str, target: Path | None = None) -> str:
        """A line for it in /etc/fstab."""
        return f"UUID={self.uuid} {target or self.path} btrfs {options} 0 0\n"

    def subvolume(self, name: str) -> Path:
        run("btrfs", "subvolume", "create", self.path / name)
        return self.path / name

    def mount(self, target: Path, options: str) -> Path:
        """Another mount of the same filesystem."""
        target.mkdir(parents=True, exist_ok=True)
        run("mount", "-t", "btrfs", "-o", options, self.device, target)
        return target


class World:
    """One test's host. ``area`` is a fresh subvolume, ``existing`` in no other test."""

    def __init__(self, area: Path, cleanup: contextlib.ExitStack, server: Server) -> None:
        self.area = area
        self._server = server
        self.file = TOP / "t" / "vmtune.yaml"
        self._cleanup = cleanup
        cleanup.callback(_unmount_all)
        self.fstab("# empty\n")

    # --- what is there

    def image(self, name: str, options: str = "", mkfs: Sequence[str] = (), size: int = 1) -> Image:
        """A fresh Btrfs; ``size`` is the number of its devices."""
        files = [TOP / "images" / f"{name}{number}.img" for number in range(size)]
        for file in files:
            with open(file, "wb") as new:
                new.truncate(300 << 20)
            self._cleanup.callback(file.unlink)
        run("mkfs.btrfs", "-q", "-f", *mkfs, *files)
        target = TOP / "t" / name
        target.mkdir()
        _mount(files, target, options)
        device = run("findmnt", "-no", "SOURCE", target).strip().partition("[")[0]
        return Image(
            target, run("blkid", "-p", "-s", "UUID", "-o", "value", device).strip(), device
        )

    def fstab(self, text: str | bytes) -> None:
        """The whole of /etc/fstab."""
        FSTAB.unlink(missing_ok=True)
        FSTAB.write_bytes(text.encode() if isinstance(text, str) else text)
        FSTAB.chmod(0o644)

    def alice(self, home: Path | None = None) -> Path:
        """A user with a home on Btrfs, in the place of whoever has that name or number here."""
        home = home or self.area / "alice"
        home.mkdir(mode=0o755)
        os.chown(home, ALICE, ALICE)
        before = Path("/etc/passwd").read_text(encoding="utf-8")
        self._cleanup.callback(Path("/etc/passwd").write_text, before, encoding="utf-8")
        others = [x for x in before.splitlines(True) if not re.match(rf"alice:|\w+:x?:{ALICE}:", x)]
        line = f"alice:x:{ALICE}:{ALICE}::{home}:/bin/sh\n"
        Path("/etc/passwd").write_text("".join([*others, line]), encoding="utf-8")
        return home

    def bind(self, path: Path, *, read_only: bool = False) -> None:
        """A mount of a path on itself: nothing can be renamed onto it."""
        run("mount", "--bind", path, path)
        self._cleanup.callback(run, "umount", path)
        if read_only:
            run("mount", "-o", "remount,bind,ro", path)

    def opt(self) -> Path:
        """An empty /opt of this test's own."""
        run("mount", "-t", "tmpfs", "-o", "mode=755", "opt", "/opt")
        self._cleanup.callback(run, "umount", "/opt")
        return Path("/opt")

    # --- vmtune

    def config(self, text: str) -> None:
        self.file.write_text(f"version: 1\n{text}", encoding="utf-8")
        self.file.chmod(0o644)

    def declare(self, **sections: Iterable[Mapping[str, object]]) -> None:
        """Sections in flow style: JSON strings are YAML, whatever is in a path."""
        rows = (
            f"{section}:\n"
            + "".join(f"  - {json.dumps(entry, ensure_ascii=False)}\n" for entry in of)
            for section, of in sections.items()
        )
        self.config("".join(rows))

    def nocow(self, path: Path | str, **more: object) -> None:
        self.declare(paths=[{"path": str(path), "nocow": True, **more}])

    def mounts(self, target: Path | str, **options: object) -> None:
        self.declare(mounts=[{"target": str(target), "options": options}])

    def vmtune(
        self,
        *arguments: str,
        user: int = 0,
        under: Sequence[str | Path] = (),
        env: Mapping[str, str] | None = None,
        config: Path | None = None,
    ) -> Ran:
        """Run it to its end; no user ever sees a traceback.

        Forked off a process that has it imported (``forking``), but for what is ``under``
        another program or has variables for Python itself. ``start`` and ``typed`` fork nothing.
        """
        words = ["--config", str(config or self.file), *arguments]
        whole = {**_ENV, **(env or {})}
        if under or any(name.startswith(_AT_THE_START) for name in env or {}):
            ran = Ran(*truly([*map(str, under), *PROGRAM, *words], whole, user))
        else:
            ran = Ran(*self._server.run(words, whole, user))
        assert "Traceback" not in ran.out + ran.err, ran
        assert "fault of vmtune" not in ran.err, ran
        return ran

    def prepared(self, first: str, *arguments: str) -> Ran:
        """Run it after Python code of the test's own: a fault, or less patience."""
        words = ["--config", str(self.file), *arguments]
        ran = Ran(*self._server.run(words, _ENV, first=first))
        assert "Traceback" not in ran.out + ran.err, ran
        return ran

    def plan(self, *, expect: int = 0, **options: int) -> Ran:
        """``plan --detailed-exitcode``: 0 in sync, 2 not, 6 not all seen, 7 only refused rows."""
        ran = self.vmtune("plan", "--detailed-exitcode", **options)  # type: ignore[arg-type]
        assert ran.code == expect, ran
        return ran

    def apply(self, *, expect: int = 0, under: Sequence[str | Path] = (), **env: str) -> Ran:
        ran = self.vmtune("apply", "--yes", under=under, env=env)
        assert ran.code == expect, ran
        return ran

    def start(self, *arguments: str, under: Sequence[str] = ()) -> subprocess.Popen[str]:
        """Run it beside the test."""
        return subprocess.Popen(
            [*under, *PROGRAM, "--config", str(self.file), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd="/",
            env=_ENV,
        )

    def typed(self, *arguments: str, **env: str) -> "Typed":
        return Typed([*PROGRAM, "--config", str(self.file), *arguments], env)


class Typed:
    """vmtune with a person at the terminal."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str]) -> None:
        self._master, slave = pty.openpty()
        self.screen = ""
        self._process = subprocess.Popen(
            argv,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd="/",
            env={**_ENV, **env},
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - one thread
        )
        os.close(slave)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        os.close(self._master)

    def _read(self) -> bool:
        if not select.select([self._master], [], [], 20)[0]:
            raise TimeoutError(self.screen)
        try:
            data = os.read(self._master, 65536)
        except OSError:  # EIO: nobody has the other end open
            return False
        self.screen += data.decode()
        return bool(data)

    def see(self, words: str) -> None:
        while words not in self.screen:
            assert self._read(), self.screen

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def end(self) -> int:
        while self._read():
            pass
        return self._process.wait(patience.SECONDS)


def until(what: str, ready: Callable[[], object]) -> None:
    deadline = time.monotonic() + patience.SECONDS
    while not ready():
        assert time.monotonic() < deadline, f"gave up waiting for {what}"
        time.sleep(0.02)


def _mount(files: Sequence[Path], target: Path, options: str) -> None:
    if len(files) == 1:
        run("mount", "-t", "btrfs", "-o", f"loop,{options}".strip(","), *files, target)
        return
    devices = [run("losetup", "--find", "--show", file).strip() for file in files]
    named = [f"device={device}" for device in devices]
    try:
        words = ",".join([*named, options]).strip(",")
        run("mount", "-t", "btrfs", "-o", words, devices[0], target)
    finally:
        run("losetup", "--detach", *devices)  # once the mount is gone: autoclear


def _unmount_all() -> None:
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        targets = [line.split()[4].encode().decode("unicode_escape") for line in file]
    for target in reversed(targets):
        if target.startswith(f"{TOP}/t/"):
            run("umount", target)


def fresh() -> None:
    """Forget what the test before left."""
    guard()
    for folder in (Path("/etc/cron.d"), Path("/var/spool/cron/crontabs"), TOP / "t"):
        for path in folder.iterdir():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    for above in ("/etc/systemd/system", "/run/systemd/system.control"):
        for path in Path(above).glob("*.mount*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    Path("/etc/crontab").unlink(missing_ok=True)
    Path("/run/vmtune.lock").unlink(missing_ok=True)
    shutil.rmtree("/var/lib/vmtune", ignore_errors=True)
