"""A run that is forked is as one that was started: what it finds itself to be, and what it says."""

import json
import re
import subprocess
from collections.abc import Iterator

import pytest

from reconciler.cli import cli
from tests.btrfs.each import Each
from tests.btrfs.forking import Server, truly
from tests.btrfs.sandbox import PROGRAM
from tests.btrfs.world import _ENV, NOBODY, World

# All that a process has from whoever started it, and that Python makes of it.
SELF = r"""
import gc, json, os, resource, signal, sys
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
same = ("Umask", "Uid", "Gid", "Groups", "SigBlk", "CapEff", "CapPrm", "Name")
streams = (sys.stdin, sys.stdout, sys.stderr)
links = [(n, os.readlink(f"/proc/self/fd/{n}").split(":")[0]) for n in range(100) if
         os.path.lexists(f"/proc/self/fd/{n}")]
limits = [resource.getrlimit(n) for n in range(16)]
environ = dict(pair.split("=", 1) for pair in open("/proc/self/environ").read().split("\0") if pair)
print(json.dumps({
    "status": [status[name] for name in same],
    # Beyond is glibc's own, for setuid(2).
    "signals": [int(status[name], 16) & 0x7FFFFFFF for name in ("SigIgn", "SigCgt")],
    "owner": os.stat("/proc/self").st_uid,
    "descriptors": links,
    "streams": [(s.encoding, s.errors, s.line_buffering, s.write_through, s.isatty(), s.seekable(),
                 s.newlines, s.name, s.mode, type(s.buffer).__name__) for s in streams],
    "limits": limits,
    "ids": [os.getpgid(0), os.getsid(0), os.getpriority(os.PRIO_PROCESS, 0)],
    "places": [os.getcwd(), os.readlink("/proc/self/root"), sys.executable, sys.prefix],
    "namespaces": sorted(os.readlink(f"/proc/self/ns/{n}") for n in os.listdir("/proc/self/ns")),
    "environment": sorted(os.environ.items()),
    "at the start": environ["LC_ALL"],
    "handlers": [str(signal.getsignal(n)) for n in (1, 2, 10, 13, 15, 17)],
    "python": [str(sys.flags), sys.dont_write_bytecode, gc.isenabled(), gc.get_threshold()],
}))
raise SystemExit
"""
STILL = "STILL"
"""Stands for a directory in which nobody else writes: two looks at it see the same."""
CLOCK = r"\d\d:\d\d(:\d\d)?"
READING = [
    *(["plan"], ["plan", "--detailed-exitcode"], ["plan", "--json"], ["status"], ["doctor"]),
    *(["apply"], ["revert"], ["history"], ["validate"], ["validate", "/dev/stdin"], ["init"]),
    *(["explain", "V310"], ["explain", STILL], ["completion", "fish"], ["show", "/nowhere"]),
    *(["defrag", STILL], ["measure", "/proc"], ["measure", "--help"], ["--help"], ["--version"]),
    *(["schema", "host"], ["help", "plan"], ["version"]),
    *(["plan", "--no"], ["-v", "plan"], ["--color", "always", "plan"]),
]
# Of a command that has no line there, its help.
READING += [[name, "--help"] for name in cli.commands if name not in {row[0] for row in READING}]


@pytest.fixture
def quick(host: World) -> Iterator[Server]:  # noqa: ARG001 - in its sandbox
    found = Server(_ENV, seconds=1)
    yield found
    found.close()


@pytest.mark.parametrize("user", [0, NOBODY])
def test_it_finds_itself_as_a_program_of_its_own_does(quick: Server, user: int):
    env = {**_ENV, "COLUMNS": "77", "MORE": "yes"}
    forked = quick.run([], env, user, first=SELF)
    started = truly([PROGRAM[0], "-c", SELF], env, user)
    assert (forked[0], forked[2]) == (0, ""), forked
    assert json.loads(forked[1]) == json.loads(started[1])


@pytest.mark.parametrize(
    ("user", "words"), [*((0, words) for words in READING), *((NOBODY, w) for w in READING[:7])]
)
def test_it_says_the_same(host: World, user: int, words: list[str]):
    """And ends the same: one true start of each command at least."""
    Each(host)
    words = [str(host.area) if word == STILL else word for word in words]
    forked, started = (host.vmtune(*words, user=user, under=under) for under in ([], ["env"]))
    assert re.sub(CLOCK, "", str(forked)) == re.sub(CLOCK, "", str(started))


def test_how_it_died_is_told(quick: Server):
    assert quick.run([], _ENV, first="print('so far', flush=True); os.kill(os.getpid(), 9)") == (
        *(-9, "so far\n", ""),
    )
    code, out, err = quick.run([], _ENV, first="1 / 0")
    assert (code, out, err.splitlines()[-1]) == (1, "", "ZeroDivisionError: division by zero")


@pytest.mark.parametrize("closed", ["", "os.close(1); os.close(2)"])
def test_what_hangs_is_killed_and_named(quick: Server, closed: str):
    with pytest.raises(subprocess.TimeoutExpired, match="'plan', '--json'"):
        quick.run(["plan", "--json"], _ENV, first=f"{closed}\nimport time; time.sleep(99)")
    assert quick.run(["--version"], _ENV)[0] == 0


def test_an_answer_that_cannot_be_printed_ends_as_a_true_start(quick: Server, host: World):
    """Python itself writes what is left, and says that it could not."""
    full = "full = os.open('/dev/full', os.O_WRONLY); os.dup2(full, 1)"
    words = ["--config", str(host.file), "--help"]
    code, _, err = quick.run(words, _ENV, first=full)
    shell = ["sh", "-c", 'exec "$@" >/dev/full', "sh", *PROGRAM, *words]
    assert (code, err) == (truly(shell, _ENV, 0)[0], truly(shell, _ENV, 0)[2])
