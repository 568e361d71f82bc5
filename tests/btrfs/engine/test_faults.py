"""A stream that the caller closed, and a fault of vmtune itself in the middle of its work."""

import subprocess

import pytest

from tests import patience
from tests.btrfs.commands.test_json import lines
from tests.btrfs.each import CRON_D, Each, history, records
from tests.btrfs.sandbox import PROGRAM
from tests.btrfs.world import _ENV, FSTAB, Ran, World

CLOSED = ("<&-", ">&-", "2>&-", "<&- >&- 2>&-")

# vmtune with an action whose end nobody can tell: the second, which is done by then.
FAULTY = """
import sys
from reconciler.cli import run
from reconciler.report import text

real = text.result
told = []

def result(*words):
    told.append(words)
    if len(told) == 2:
        raise ZeroDivisionError("odd")
    return real(*words)

text.result = result
sys.exit(run(sys.argv[1:]))
"""


@pytest.fixture
def each(host: World) -> Each:
    return Each(host)


def without(each: Each, closed: str, *words: str) -> Ran:
    """By a shell that closes the streams, as cron jobs and daemons do."""
    argv = [*PROGRAM, "--config", str(each.host.file), *words]
    return _run(["sh", "-c", f'exec "$@" {closed}', "sh", *argv])


def _run(argv: list[str], **env: str) -> Ran:
    done = subprocess.run(
        argv,
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        env={**_ENV, **env},
        timeout=patience.SECONDS,
    )
    assert "fault of vmtune: Attr" not in done.stderr
    return Ran(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("closed", CLOSED)
def test_apply_does_its_work(each: Each, closed: str):
    """And what it opens meanwhile does not become a stream that it prints to."""
    ran = without(each, closed, "apply", "--yes")
    assert ran.code == 0, ran
    assert each.is_done()
    assert "done, 4 of 4" in history(each.host).out
    told = ran.out + ran.err + FSTAB.read_text() + "".join(p.read_text() for p in CRON_D.iterdir())
    assert told.count("[1/") == {"<&-": 4, ">&-": 2, "2>&-": 2}.get(closed, 0)


@pytest.mark.parametrize("closed", CLOSED)
def test_all_else_says_what_it_can(each: Each, closed: str):
    for words, code in ((["plan", "--detailed-exitcode"], 2), (["show", "/nowhere"], 1)):
        ran = without(each, closed, *words)
        assert ran.code == code, ran
    ran = without(each, closed, "apply")
    assert ran.code == 1, ran
    assert ("no terminal to ask on" in ran.err) == ("2>&-" not in closed)
    assert each.is_untouched()


def test_a_fault_in_the_middle_says_how_far_it_came(each: Each):
    python = PROGRAM[0]
    words = ["--config", str(each.host.file), "apply", "--yes"]
    ran = _run([python, "-c", FAULTY, *words])
    assert ran.code == 3, ran
    assert "stopped part way by a fault of vmtune: ZeroDivisionError: odd" in ran.err
    assert ran.err.count("  done: ") == 2, ran
    assert ran.err.count("  not done, or not known to be: ") == 5, ran
    assert records()[0][-1]["result"] == "part way"
    assert "part way" in history(each.host).out
    each.host.apply()
    assert each.is_done()


def test_it_is_json_too(each: Each):
    words = ["--config", str(each.host.file), "apply", "--yes", "--json"]
    ran = _run([PROGRAM[0], "-c", FAULTY, *words])
    assert ran.code == 3, ran
    assert lines(ran)[-1] == {"event": "exit", "code": 3}


def test_whoever_debugs_sees_where(each: Each):
    words = ["--config", str(each.host.file), "apply", "--yes"]
    ran = _run([PROGRAM[0], "-c", FAULTY, *words], VMTUNE_DEBUG="1")
    assert "Traceback" in ran.err
    assert records()[0][-1]["result"] == "part way"
