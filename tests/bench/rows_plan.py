"""Rows of settings: planned, explained, applied."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from tests.bench import peers
from tests.bench.ground import DATA, IMAGES, Ground, declare
from tests.bench.measure import Contestant, Row
from tests.btrfs.outside import run

if TYPE_CHECKING:
    from collections.abc import Callable

_LOCAL = ["-i", "localhost,", "-c", "local", "-e", f"ansible_python_interpreter={sys.executable}"]


def _in_sync(ground: Ground) -> None:
    """All three settings there, for everyone."""
    ground.fresh()
    ground.three()
    run("sh", ground.script())
    run(*ground.vmtune, "apply", "--yes")
    run(*ground.vmtune, "status", "-q")


def _bare(ground: Ground) -> dict[str, Contestant | None]:
    return {"python -c pass": Contestant(ground.bare)}


def plan(ground: Ground, _files: int) -> Row:
    """Nothing to do: the run that scripts and timers make."""
    _in_sync(ground)
    pyinfra, ansible = peers.pyinfra(), peers.ansible()
    return Row(
        "plan, nothing to do",
        Contestant([*ground.vmtune, "plan"]),
        {
            **_bare(ground),
            "bash script": Contestant(["bash", ground.script()]),
            "pyinfra --dry": pyinfra
            and Contestant([str(pyinfra), "@local", ground.deploy(), "--dry", "-y"]),
            "ansible --check": ansible
            and Contestant([str(ansible), *_LOCAL, "--check", ground.playbook()]),
        },
        {"python -c pass": 12},
    )


def _started(name: str, words: list[str], aim: float, *exits: int) -> Callable[..., Row]:
    """A row for one command on a right configuration, all settings there."""

    def make(ground: Ground, _files: int) -> Row:
        _in_sync(ground)
        ours = Contestant([*ground.vmtune, *words], exits=frozenset({0, *exits}))
        return Row(" ".join(words), ours, _bare(ground), {"python -c pass": aim}, rounds=15)

    make.__name__ = name
    return make


def tab(ground: Ground, _files: int) -> Row:
    """What a shell asks while a person types."""
    typed = ["COMP_WORDS=vmtune plan --", "COMP_CWORD=2", "_VMTUNE_COMPLETE=bash_complete"]
    ours = Contestant(["env", *typed, ground.vmtune[0]])
    return Row("TAB", ours, _bare(ground), {"python -c pass": 6}, rounds=15)


def mistake(ground: Ground, _files: int) -> Row:
    """A key that is misspelt: found, and explained."""
    declare(f"paths: [{{path: {IMAGES}, nocwo: true}}]")
    wrong = Contestant([*ground.vmtune, "plan"], exits=frozenset({1}))
    return Row("a mistake explained", wrong, _bare(ground), {"python -c pass": 20}, rounds=9)


def apply(ground: Ground, _files: int) -> Row:
    """Three changes, from nothing to all done and on disk."""
    ground.three()
    pyinfra, ansible = peers.pyinfra(), peers.ansible()

    def fresh(*argv: object) -> Contestant:
        return Contestant([*map(str, argv)], ground.fresh)

    return Row(
        "first apply of three changes",
        fresh(*ground.vmtune, "apply", "--yes"),
        {
            "bash script": fresh("bash", ground.script()),
            "pyinfra": pyinfra and fresh(pyinfra, "@local", ground.deploy(), "-y"),
            "ansible": ansible and fresh(ansible, *_LOCAL, ground.playbook()),
        },
        {"bash script": 9},
        by="wall",
        rounds=5,
    )


def _paths(number: int, aim: float, rounds: int) -> Callable[..., Row]:
    """A row for that many declared directories, all as they should be, against one of them."""

    def make(ground: Ground, _files: int) -> Row:
        top = DATA / f"{number}"
        paths = [top / f"{n // 100:03}" / f"{n:05}" for n in range(number)]
        top.mkdir()
        run("chattr", "+C", top)
        for path in paths:
            path.mkdir(parents=True)
        of_one, of_all = (
            "paths:\n" + "".join(f"  - {{path: {path}, nocow: true}}\n" for path in some)
            for some in (paths[:1], paths)
        )
        ours = Contestant([*ground.vmtune, "plan"], lambda: declare(of_all))
        one = Contestant([*ground.vmtune, "plan"], lambda: declare(of_one))
        peers, aims = {"plan of one": one}, {"plan of one": aim}
        return Row(f"plan of {number:,} declared paths", ours, peers, aims, rounds=rounds)

    make.__name__ = f"paths_{number}"
    return make


hundred_paths = _paths(100, 2, 9)
# One plan takes 0.13 s, and 10,000 entries may take ten more.
many_paths = _paths(10_000, 75, 3)


STARTED = (
    _started("version", ["--version"], 6),
    _started("apply_nothing", ["apply", "--yes"], 12),
    _started("status_in_sync", ["status"], 12),
    _started("validate", ["validate"], 12),
    _started("history", ["history"], 12),
    _started("explain", ["explain", "V101"], 12),
    _started("doctor", ["doctor"], 12, 1, 6),
    _started("init", ["init"], 12),
)
ROWS = (plan, *STARTED, tab, mistake, apply, hundred_paths, many_paths)
