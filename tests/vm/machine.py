"""A guest of QEMU: a machine with a kernel of its own, that can lose its power.

It is driven as the containers of tests/host are (``run``, ``read``, ``write``, ``push`` and
``reboot``), so the helpers of that tier work on it, too.
"""

import base64
import contextlib
import functools
import itertools
import json
import os
import queue
import shlex
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from tests.host import sandbox
from tests.vm.agent import NAME
from tests.vm.system import UUID, System

BOOT_SECONDS = 600
"""How long a guest may take to boot: this is about life, not speed."""

# A boot sector that ends QEMU by way of isa-debug-exit, with the code (1 << 1) | 1.
_TRIAL = bytes.fromhex("b001 baf400 ee f4").ljust(510, b"\0") + b"\x55\xaa"


@functools.cache
def accelerator() -> str:
    """Tries whether the host's processor runs a guest: /dev/kvm can be there and fail.

    It can also be there and be slower than TCG, on a host that is a guest itself: a boot sector
    that takes seconds counts as failed.
    """
    with tempfile.NamedTemporaryFile() as sector:
        sector.write(_TRIAL)
        sector.flush()
        argv = ["qemu-system-x86_64", "-accel", "kvm", "-cpu", "max", "-smp", "2"]
        argv += ["-nodefaults", "-display", "none"]
        argv += ["-device", "isa-debug-exit,iobase=0xf4", "-m", "16"]
        argv += ["-drive", f"file={sector.name},format=raw,if=ide,snapshot=on"]
        with contextlib.suppress(subprocess.TimeoutExpired):
            if subprocess.run(argv, capture_output=True, check=False, timeout=4).returncode == 3:
                return "kvm"
    return "tcg,thread=multi"


class Lost(Exception):
    """The guest ended, or its agent began anew, before an answer came."""


class _Line:
    """JSON lines over a socket of QEMU's; a thread reads, so nothing that is said is missed."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        sandbox.until(f"QEMU to open {path.name}", 60, lambda: self._connected(path))
        self.heard: queue.Queue[dict[str, Any] | None] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def _connected(self, path: Path) -> bool:
        with contextlib.suppress(OSError):
            self._socket.connect(str(path))
            return True
        return False

    def _listen(self) -> None:
        with contextlib.suppress(OSError), self._socket.makefile("rb") as lines:
            for line in lines:
                with contextlib.suppress(ValueError):  # half a line of a boot that was cut off
                    self.heard.put(json.loads(line))
        self.heard.put(None)

    def say(self, value: object) -> None:
        self._socket.sendall(json.dumps(value).encode() + b"\n")

    def close(self) -> None:
        self._socket.close()


class Guest:
    """One machine with a disk of its own; leaving the context destroys both.

    ``drives`` are sizes of empty disks beside that of the root: /dev/vdb and so on, in this order.
    ``state`` is what ``freeze`` gave: the guest goes on from there in place of booting.
    ``words`` are more of them on the kernel's command line.
    """

    def __init__(  # noqa: PLR0913 - one for each part of a machine
        self,
        system: System,
        drives: Sequence[str] = (),
        *,
        state: Path | None = None,
        memory: str = "1G",
        processors: int = 2,
        words: str = "",
    ) -> None:
        self.system, self.uuid = system, UUID
        self._drives, self._state, self._memory = drives, state, memory
        self._processors, self._words = processors, words
        self._ids = itertools.count(1)
        self._qemu: subprocess.Popen[bytes] | None = None
        self.boots: list[float] = []
        """Seconds that each boot took."""

    def __enter__(self) -> Self:
        runs = sandbox.cache_folder() / "runs"
        runs.mkdir(exist_ok=True)
        sandbox.sweep([runs])
        self.folder = Path(tempfile.mkdtemp(prefix=f"vmtune-{os.getpid()}-", dir=runs))
        try:
            self._make_disks()
            self._start(self._state)
            if not self._state:
                self._booted(time.monotonic())
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()
        shutil.rmtree(self.folder)

    @property
    def disks(self) -> list[Path]:
        """The image files, that of the root first."""
        return [self.folder / f"disk{number}.qcow2" for number in range(len(self._drives) + 1)]

    def _make_disks(self) -> None:
        backing = self._state or self.system.folder
        for number, (disk, size) in enumerate(zip(self.disks, ["", *self._drives], strict=True)):
            argv = ["qemu-img", "create", "-q", "-f", "qcow2"]
            if self._state:
                argv += ["-F", "qcow2", "-b", str(backing / disk.name), str(disk)]
            elif not number:
                argv += ["-F", "raw", "-b", str(backing / "disk.raw"), str(disk)]
            else:
                argv += [str(disk), size]
            sandbox.checked(argv)

    def _command(self) -> list[str]:
        """The machine: nothing but virtio devices, so nothing is probed for long."""
        argv = ["setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64", "-nodefaults"]
        argv += ["-no-user-config", "-display", "none", "-machine", "pc"]
        # TCG boots a third slower with "max": what is new in processors is dear to make up.
        argv += ["-cpu", "max" if accelerator() == "kvm" else "Nehalem"]
        argv += ["-accel", accelerator(), "-smp", f"{self._processors}"]
        argv += ["-m", self._memory]
        argv += ["-kernel", str(self.system.folder / "vmlinuz")]
        argv += ["-initrd", str(self.system.folder / "initrd")]
        words = f"root=UUID={UUID} ro rootflags=subvol=@rootfs console=ttyS0 quiet no_timer_check"
        words += " mitigations=off cryptomgr.notests random.trust_cpu=on"
        argv += ["-append", f"{words} {self.system.flavour.words} {self._words}"]
        argv += ["-device", "virtio-rng-pci", "-device", "virtio-serial-pci"]
        for number, disk in enumerate(self.disks):
            drive = f"file={disk},format=qcow2,cache=writeback,discard=unmap"
            argv += ["-drive", f"if=none,id=d{number},{drive}"]
            argv += ["-device", f"virtio-blk-pci,drive=d{number},id=disk{number}"]
        agent = self.folder / "agent"
        argv += ["-chardev", f"socket,id=agent,path={agent},server=on,wait=on"]
        argv += ["-device", f"virtserialport,chardev=agent,name={NAME}"]
        argv += ["-qmp", f"unix:{self.folder / 'qmp'},server=on,wait=off"]
        return [*argv, "-serial", f"file:{self.folder / 'console'}"]

    def _start(self, state: Path | None = None) -> None:
        argv = self._command()
        if state:
            argv += ["-incoming", f"exec:cat {shlex.quote(str(state / 'memory'))}"]
        for name in ("agent", "qmp"):
            (self.folder / name).unlink(missing_ok=True)
        with (self.folder / "qemu.log").open("ab") as log:
            self._qemu = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._agent = _Line(self.folder / "agent")
        self._qmp = _Line(self.folder / "qmp")
        self.monitor("qmp_capabilities")
        if state:
            waits = lambda: self.monitor("query-status")["status"] == "inmigrate"  # noqa: E731
            sandbox.until("QEMU to load the guest", 300, lambda: not waits())
            self.monitor("cont")

    def _next(self, line: _Line, timeout: float, what: str) -> dict[str, Any]:
        try:
            heard = line.heard.get(timeout=timeout)
        except queue.Empty:
            heard = None
        if heard is None:
            error = Lost(f"no answer from {what} within {timeout:g} s, or QEMU ended")
            for name in ("qemu.log", "console"):
                with contextlib.suppress(OSError):
                    text = (self.folder / name).read_text("utf-8", "replace")
                    error.add_note(f"{name}:\n{text[-4000:]}")
            raise error
        return heard

    def monitor(self, execute: str, **arguments: Any) -> Any:
        """Asks QEMU itself; events in between are nobody's here."""
        self._qmp.say({"execute": execute, "arguments": arguments})
        while True:
            heard = self._next(self._qmp, 60, "QEMU")
            if "error" in heard:
                raise Lost(f"{execute}: {heard['error']}")
            if "return" in heard:
                return heard["return"]

    def _booted(self, since: float) -> None:
        """Waits for the agent of a new boot, and until systemd has started all."""
        while "hello" not in self._next(self._agent, BOOT_SECONDS, "the guest"):
            pass
        self.run(["systemctl", "is-system-running", "--wait"], check=False, timeout=BOOT_SECONDS)
        self.boots.append(round(time.monotonic() - since, 1))

    def boot(self) -> None:
        """Starts a guest whose power was cut, or that was shut down."""
        self._start()
        self._booted(time.monotonic())

    def reboot(self) -> None:
        """Has the guest shut down in order and boot again, kernel and all."""
        since = time.monotonic()
        self.send(["systemctl", "reboot"])
        self._booted(since)

    def cut(self) -> None:
        """Cuts the power: what the guest has not flushed may be lost."""
        if self._qemu:
            self._qemu.kill()
            self._qemu.wait()
            for line in (self._agent, self._qmp):
                line.close()
        self._qemu = None

    def shut_down(self) -> None:
        """Shuts the guest down in order, and waits until it is off."""
        assert self._qemu
        self.send(["systemctl", "poweroff"])
        self._qemu.wait(BOOT_SECONDS)
        self.cut()

    def freeze(self, folder: Path) -> Path:
        """Saves the running machine, memory and disks; any number of guests can go on from it."""
        folder.mkdir()
        self.monitor("stop")
        self.monitor("migrate", uri=f"exec:cat > {shlex.quote(str(folder / 'memory'))}")
        moved = lambda: self.monitor("query-migrate").get("status")  # noqa: E731
        sandbox.until("QEMU to save the guest", 300, lambda: moved() in {"completed", "failed"})
        assert moved() == "completed"
        self.cut_saved()
        for disk in self.disks:
            shutil.move(disk, folder / disk.name)
        return folder

    def cut_saved(self) -> None:
        """Ends QEMU in order, so that the disks hold all that the guest has written."""
        assert self._qemu
        self.monitor("quit")
        self._qemu.wait(60)
        self.cut()

    def raw(self, disk: int = 0) -> Path:
        """The disk of a guest that is off, as btrfs-progs read it."""
        assert not self._qemu
        out = self.folder / f"disk{disk}.raw"
        sandbox.checked(["qemu-img", "convert", "-O", "raw", str(self.disks[disk]), str(out)])
        return out

    def send(self, argv: Sequence[str], given: bytes = b"") -> int:
        """Has the agent start a program, and waits for nothing."""
        number = next(self._ids)
        text = base64.b64encode(given).decode()
        self._agent.say({"id": number, "argv": list(argv), "input": text})
        return number

    def is_silent(self) -> bool:
        """Whether nothing that was sent has been answered since."""
        return self._agent.heard.empty()

    def _call(self, argv: Sequence[str], given: bytes, timeout: float) -> tuple[int, bytes, bytes]:
        number = self.send(argv, given)
        while True:
            heard = self._next(self._agent, timeout, f"{shlex.join(argv)[:200]}")
            if "hello" in heard:
                raise Lost("the guest booted by itself")
            if heard["id"] == number:
                out, err = (base64.b64decode(heard[name]) for name in ("out", "err"))
                return heard["code"], out, err

    @staticmethod
    def command(
        argv: Sequence[str] | str,
        *,
        user: str = "root",
        tty: bool = False,
        env: Mapping[str, str] | None = None,
    ) -> list[str]:
        """What the agent executes: as the user, at home, with the environment of a login."""
        argv = ["sh", "-c", argv] if isinstance(argv, str) else argv
        if tty:
            inner = f"stty rows 40 cols 100; exec {shlex.join(argv)}"
            argv = ["script", "--quiet", "--return", "--command", inner, "/dev/null"]
        own = {"LANG": "C.UTF-8", "TERM": "xterm" if tty else "dumb", **(env or {})}
        return [
            *("setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "--reset-env"),
            *("env", *(f"{key}={value}" for key, value in own.items())),
            *("sh", "-c", 'cd; unset OLDPWD; exec "$@"', "sh", *argv),
        ]

    def run(  # noqa: PLR0913 - subprocess.run's own, and who and where
        self,
        argv: Sequence[str] | str,
        *,
        user: str = "root",
        input: str | None = None,  # noqa: A002 - subprocess.run's name for it
        tty: bool = False,
        check: bool = True,
        env: Mapping[str, str] | None = None,
        timeout: float = 900,
    ) -> subprocess.CompletedProcess[str]:
        """Runs a program, or a line of shell, in the guest and captures what it prints."""
        called = self.command(argv, user=user, tty=tty, env=env)
        code, *told = self._call(called, (input or "").encode(), timeout)
        out, err = (data.decode("utf-8", "surrogateescape") for data in told)
        done = subprocess.CompletedProcess(argv, code, out, err)
        if check and code:
            error = subprocess.CalledProcessError(code, argv, out, err)
            error.add_note(f"stdout:\n{out[-4000:]}\nstderr:\n{err[-4000:]}")
            raise error
        return done

    def read(self, path: str) -> bytes:
        code, out, err = self._call(["cat", "--", path], b"", 60)
        assert not code, err
        return out

    def write(self, path: str, data: bytes, mode: str = "644", user: str = "root") -> None:
        """Makes a file, and the folders above it; a power cut leaves it whole.

        A later sync(2) is not enough: on Linux 6.12 with compress=zstd one returned before a small
        file was compressed, and the cut left it empty.
        """
        script = 'mkdir -p "${1%/*}" && cat >"$1" && chmod "$2" "$1" && sync "$1"'
        argv = self.command(["sh", "-c", script, "sh", path, mode], user=user)
        code, _, err = self._call(argv, data, 120)
        assert not code, err

    def push(self, src: Path, dst: str) -> None:
        """Copies a file or a whole folder in, owned by root, to be named ``dst`` there."""
        if src.is_file():
            self.write(dst, src.read_bytes(), f"{src.stat().st_mode & 0o777:o}")
            return
        pack = subprocess.run(["tar", "-C", src, "-c", "."], capture_output=True, check=True)
        script = 'mkdir -p "$1" && tar -C "$1" -x --no-same-owner'
        code, _, err = self._call(["sh", "-c", script, "sh", dst], pack.stdout, 300)
        assert not code, err
