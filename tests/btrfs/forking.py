"""vmtune forked off a process that has imported it: its start costs ten milliseconds of CPU.

As a program of its own it costs two hundred, most of what this tier would take. Each run is a
fresh process all the same, with the program's own entry point and nothing called before it. What
only a true start can show goes the other way: see ``World.vmtune``.
"""

import contextlib
import json
import os
import selectors
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests import patience
from tests.btrfs.sandbox import PROGRAM

# One order a packet, with the two pipes to print to; answered by the process (as a descriptor:
# its number may be one of another namespace), once it has stopped if it will, then by its end.
# Users and groups, and streams, are set as subprocess.Popen would, before the program begins.
_SERVER = """
import contextlib, ctypes, gc, importlib, json, os, pkgutil, signal, socket, sys, threading
import click, cronsim, deepdiff, jsonschema, yaml
import reconciler

for module in pkgutil.walk_packages(reconciler.__path__, "reconciler."):
    importlib.import_module(module.name)
from reconciler.__main__ import main

PR_SET_DUMPABLE = 4
libc = ctypes.CDLL(None)
exec(sys.argv[2])
orders = socket.socket(fileno=int(sys.argv[1]))
gc.freeze()  # a child that looks for garbage copies no page

def become(order, streams):
    for number, stream in enumerate(streams, 1):
        os.dup2(stream, number)
    os.closerange(3, 64)
    os.setgroups([])
    os.setgid(order["user"])
    os.setuid(order["user"])
    libc.prctl(PR_SET_DUMPABLE, 1)  # as by exec: /proc/self is the user's
    os.environ.clear()
    os.environ.update(order["env"])
    sys.argv = ["vmtune", *order["arguments"]]

while True:
    packet, streams, _, _ = socket.recv_fds(orders, 1 << 17, 2)
    if not packet:
        sys.exit()
    child = os.fork()
    if not child:
        break
    for stream in streams:
        os.close(stream)
    if "SIGSTOP" in json.loads(packet)["first"]:
        os.waitpid(child, os.WUNTRACED)
    process = os.pidfd_open(child)
    socket.send_fds(orders, [b"begun"], [process])
    os.close(process)
    orders.send(str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])).encode())

order = json.loads(packet)
become(order, streams)
exec(order["first"])
try:
    main()
except SystemExit as end:
    # Without taking the interpreter apart, where all that this would show has been seen.
    if isinstance(end.code, int) and threading.active_count() == 1:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(end.code)
    raise
"""


class Server:
    """A vmtune that is ready to go. It sees the mount namespace in which it was made."""

    def __init__(
        self,
        env: Mapping[str, str],
        under: Sequence[str] = (),
        prepared: str = "",
        seconds: float = patience.SECONDS,
    ) -> None:
        """``prepared`` is Python for once all is imported, ``under`` another program first.

        ``seconds`` is how long one run may take.
        """
        self._seconds = seconds
        self._orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.process = subprocess.Popen(
            [*under, PROGRAM[0], "-c", _SERVER, str(theirs.fileno()), prepared],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,  # as a run has it, or Python would make other streams
            stderr=subprocess.PIPE,
            pass_fds=[theirs.fileno()],
            text=True,
            cwd="/",
            env=env,
        )
        theirs.close()

    def close(self) -> None:
        self._orders.close()
        self.process.communicate(timeout=patience.SECONDS)

    def run(
        self,
        arguments: Sequence[str],
        env: Mapping[str, str],
        user: int = 0,
        *,
        first: str = "",
        beside: Callable[[int], contextlib.AbstractContextManager[object]] | None = None,
    ) -> tuple[int, str, str]:
        """Exit code and what was printed; ``first`` is Python for the process before it begins.

        It runs within ``beside``, which is told its number.
        """
        order = {"arguments": arguments, "env": {**env}, "user": user, "first": first}
        ends, theirs = zip(*(os.pipe(), os.pipe()), strict=True)
        with contextlib.ExitStack() as opened:
            for end in ends:
                opened.callback(os.close, end)
            try:
                socket.send_fds(self._orders, [json.dumps(order).encode()], theirs)
            finally:
                for end in theirs:
                    os.close(end)
            process = self._answer()[1]
            opened.callback(os.close, process)
            with beside(_number(process)) if beside else contextlib.nullcontext():
                try:
                    out, err = _heard(ends, time.monotonic() + self._seconds)
                    return int(self._answer(self._seconds)[0]), out, err
                except TimeoutError:
                    signal.pidfd_send_signal(process, signal.SIGKILL)
                    self._answer()
                    words = ["vmtune", *arguments]
                    raise subprocess.TimeoutExpired(words, self._seconds) from None

    def _answer(self, seconds: float | None = None) -> tuple[bytes, int]:
        """And the descriptor that came along, if any."""
        self._orders.settimeout(seconds)
        packet, sent, _, _ = socket.recv_fds(self._orders, 100, 1)
        if not packet:
            raise AssertionError(
                f"the server ended: {self.process.communicate(timeout=patience.SECONDS)[1]}"
            )
        return packet, sent[0] if sent else -1


def _number(process: int) -> int:
    """Of a process that is held by a descriptor, as it is seen from here (pidfd_open(2))."""
    told = Path(f"/proc/self/fdinfo/{process}").read_text(encoding="ascii")
    return int(told.partition("\nPid:")[2].split()[0])


def _heard(ends: Sequence[int], deadline: float) -> list[str]:
    """All that is printed to these pipes, as text."""
    heard = dict.fromkeys(ends, b"")
    with selectors.DefaultSelector() as open_ones:
        for end in ends:
            open_ones.register(end, selectors.EVENT_READ)
        while open_ones.get_map():
            if not (ready := open_ones.select(max(0, deadline - time.monotonic()))):
                raise TimeoutError
            for end in (key.fd for key, _ in ready):
                data = os.read(end, 1 << 16)
                heard[end] += data
                if not data:
                    open_ones.unregister(end)
    return [text.decode().replace("\r\n", "\n").replace("\r", "\n") for text in heard.values()]


def truly(argv: Sequence[str], env: Mapping[str, str], user: int) -> tuple[int, str, str]:
    """The same of a program of its own."""
    done = subprocess.run(
        argv,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        env=env,
        user=user,
        group=user,
        extra_groups=[],
        timeout=patience.SECONDS,
    )
    return done.returncode, done.stdout, done.stderr
