"""vmtune forked in a world of its own processes: for a sweep over every system call.

strace(1) is attached before the program begins and detached by its end or its death.
"""

import contextlib
import functools
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.btrfs.forking import Server
from tests.btrfs.sandbox import TOP
from tests.btrfs.world import _ENV, Ran

_PREPARED = """
from reconciler.resources import writes  # for what stands in front of a run
from reconciler.resources.images import rewrite
from reconciler.resources.subvolume import writes as subvolume_writes

subvolume_writes.HOLD = rewrite.HOLD = {hold}
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
"""


@dataclass(frozen=True)
class Call:
    """The ``when``-th call of its name in a run, as strace(1) counts and prints it."""

    name: str
    when: int
    line: str

    def __str__(self) -> str:
        return f"{self.name} {self.when}: {self.line[:90]}"


class Forked:
    """A vmtune that is ready to go; ``hold`` is for how long it waits for who comes late."""

    def __init__(self, config: Path, hold: float = 0.25) -> None:
        self._config = str(config)
        # Planning looks at every process: with others about, no two runs would be alike.
        under = ["unshare", "--pid", "--fork", "--mount-proc"]
        self._server = Server(_ENV, under, _PREPARED.format(hold=hold))

    def close(self) -> None:
        self._server.close()

    def __call__(
        self, *arguments: str, strace: tuple[str, ...] = (), kill: tuple[int, str] | None = None
    ) -> Ran:
        """Run it to its end, under strace with these options if any.

        ``kill`` is the number of an effect (writes.put or notify), and "before" or "after".
        """
        first = ""
        if kill:
            effects = ("writes.put", "writes.notify")
            first = "".join(f"{name} = ended({name}, {kill[0]}, {kill[1]!r})\n" for name in effects)
        if strace:
            first += "os.kill(os.getpid(), signal.SIGSTOP)"
        beside = functools.partial(_traced, strace) if strace else None
        words = ["--config", self._config, *arguments]
        ran = Ran(*self._server.run(words, _ENV, first=first, beside=beside))
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

    def sweep(
        self,
        patterns: Mapping[str, str],
        counted: Callable[[], list[Call]],
        reset: Callable[[], None],
        effect: str,
        *arguments: str,
    ) -> Iterator[tuple[Call, Ran]]:
        """Yield a run for each of the calls that are counted, in which it happens at such a call.

        strace knows a call by its number, which shifts: planning asks more questions once this
        machine has one more loop device, mount namespace or program. So where it happened at a
        call that the pattern of its name does not fit, calls are counted anew. ``reset`` makes
        the host what it was, before each run.
        """
        calls = counted()
        number = 0
        while number < len(calls):
            for _ in range(12):
                call = calls[min(number, len(calls) - 1)]
                reset()
                ran = self.at(call, effect, *arguments)
                if re.search(patterns[call.name], self.met()):
                    break
                reset()
                calls = counted()
            else:
                raise AssertionError(f"{call} is never met again")
            yield call, ran
            number += 1

    @staticmethod
    def met() -> str:
        """The call at which it happened, as strace(1) printed it: failed, or without a return."""
        lines = (TOP / "t" / "injected").read_text().splitlines()
        ends = ("(INJECTED)", " = ?")
        return next((line for line in lines if line.endswith(ends)), "")


@contextlib.contextmanager
def told(call: Call, ran: Ran) -> Iterator[None]:
    """What is wrong after it is told with the call and the run."""
    try:
        yield
    except AssertionError as error:
        raise AssertionError(f"at {call}: {ran}") from error


def among(calls: Iterable[Call], patterns: Mapping[str, str]) -> list[Call]:
    """Those whose line the pattern of their name fits."""
    return [c for c in calls if c.name in patterns and re.search(patterns[c.name], c.line)]


@contextlib.contextmanager
def _traced(options: tuple[str, ...], stopped: int) -> Iterator[None]:
    argv = ["strace", *options, "-p", str(stopped)]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as strace:
        assert strace.stderr
        assert "attached" in strace.stderr.readline()
        os.kill(stopped, signal.SIGCONT)
        yield
        strace.stderr.read()
