"""vmtune forked off a process that has imported it: what a sweep over every system call can afford.

Each run is a process of its own with the program's own entry point; only the start of the
interpreter and the imports, half a second each time, are not repeated. strace(1) is attached
before the program begins and detached by its end or its death.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.btrfs.sandbox import PROGRAM, TOP
from tests.btrfs.world import _ENV, Ran

_SERVER = """
import importlib, json, os, pkgutil, signal, sys
import cronsim, deepdiff, jsonschema, yaml
import reconciler

for module in pkgutil.walk_packages(reconciler.__path__, "reconciler."):
    importlib.import_module(module.name)
from reconciler.host import writers
from reconciler.host.subvolumes import turn
from reconciler.start import run

turn.HOLD = float(sys.argv[1])
count = 0

def ended(real, number, when):
    # The real effect; this process is killed before or after the one of that number.
    def effect(*given, **named):
        global count
        count += 1
        if (count, when) == (number, "before"):
            os.kill(os.getpid(), signal.SIGKILL)
        real(*given, **named)
        if (count, when) == (number, "after"):
            os.kill(os.getpid(), signal.SIGKILL)
    return effect

for line in sys.stdin:
    order = json.loads(line)
    child = os.fork()
    if child:
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        continue
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number in (1, 2):
        os.dup2(os.open(order["streams"][number - 1], os.O_WRONLY | os.O_TRUNC), number)
    os.closerange(3, 100)
    sys.stdin = open(0, closefd=False)
    sys.stdout = open(1, "w", closefd=False)
    sys.stderr = open(2, "w", closefd=False)
    if order["kill"]:
        writers.put = ended(writers.put, *order["kill"])
        writers.poke = ended(writers.poke, *order["kill"])
    if order["wait"]:
        os.kill(os.getpid(), signal.SIGSTOP)
    code = run(order["arguments"])
    sys.stdout.flush()
    os._exit(code)
"""


@dataclass(frozen=True, slots=True)
class Call:
    """The ``when``-th call of its name in a run, as strace(1) counts and prints it."""

    name: str
    when: int
    line: str

    def __str__(self) -> str:
        return f"{self.name} {self.when}: {self.line[:90]}"


class Forked:
    """A vmtune that is ready to go; ``hold`` is for how long a turn waits for who comes late."""

    def __init__(self, config: Path, hold: float = 0.25) -> None:
        self._config = str(config)
        self._streams = [str(TOP / "t" / name) for name in ("stdout", "stderr")]
        for path in self._streams:
            Path(path).touch()
        self._server = subprocess.Popen(
            # Planning looks at every process: with others about, no two runs would be alike.
            ["unshare", "--pid", "--fork", "--mount-proc", PROGRAM[0], "-c", _SERVER, str(hold)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd="/",
            env=_ENV,
        )

    def close(self) -> None:
        self._server.communicate(timeout=20)

    def __call__(
        self, *arguments: str, strace: tuple[str, ...] = (), kill: tuple[int, str] | None = None
    ) -> Ran:
        """Run it to its end, under strace with these options if any.

        ``kill`` is the number of an effect (writers.put or poke), and "before" or "after".
        """
        order = {
            "arguments": ["--config", self._config, *arguments],
            "streams": self._streams,
            "wait": bool(strace),
            "kill": kill,
        }
        assert self._server.stdin
        assert self._server.stdout
        print(json.dumps(order), file=self._server.stdin, flush=True)
        with _traced(self._server.pid, strace) if strace else contextlib.nullcontext():
            code = int(self._server.stdout.readline())
        ran = Ran(code, *(Path(path).read_text() for path in self._streams))
        assert "Traceback" not in ran.out + ran.err, ran
        assert "fault of vmtune" not in ran.err, ran
        return ran

    def calls(self, *arguments: str) -> list[Call]:
        """Every system call of a run that ends well."""
        log = TOP / "t" / "log"
        ran = self(*arguments, strace=("-s", "200", "-o", str(log)))
        assert ran.code == 0, ran
        seen: dict[str, int] = {}
        found = []
        for line in log.read_text().splitlines():
            if match := re.match(r"(\w+)\(", line):
                seen[match[1]] = seen.get(match[1], 0) + 1
                found.append(Call(match[1], seen[match[1]], line))
        return found

    def at(self, call: Call, effect: str, *arguments: str) -> Ran:
        """A run in which something happens at that call: strace's ``inject``."""
        inject = f"inject={call.name}:{effect}:when={call.when}"
        log = str(TOP / "t" / "injected")
        return self(*arguments, strace=("-o", log, "-e", f"trace={call.name}", "-e", inject))

    @staticmethod
    def injected() -> str:
        """The call that ``at`` let fail, as strace(1) printed it: what was before it may vary."""
        lines = (TOP / "t" / "injected").read_text().splitlines()
        return next((line for line in lines if line.endswith("(INJECTED)")), "")


def _child(process: int) -> int:
    """The one that there is, or will be in a moment: unshare(1) has one, and so has the server."""
    while not (found := Path(f"/proc/{process}/task/{process}/children").read_text().split()):
        pass
    return int(found[0])


@contextlib.contextmanager
def _traced(server: int, options: tuple[str, ...]) -> Iterator[None]:
    child = _child(_child(server))
    stopped = re.compile(r"^State:\s+T", re.MULTILINE)
    while not stopped.search(Path(f"/proc/{child}/status").read_text()):
        pass
    argv = ["strace", *options, "-p", str(child)]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as strace:
        assert strace.stderr
        assert "attached" in strace.stderr.readline()
        os.kill(child, signal.SIGCONT)
        yield
        strace.stderr.read()
