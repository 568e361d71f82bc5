"""Rows of settings: planned, explained, applied."""

from __future__ import annotations

import sys

from tests.bench import peers
from tests.bench.ground import DATA, IMAGES, Ground, declare
from tests.bench.measure import Contestant, Row
from tests.btrfs.outside import run

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
        {"python -c pass": 6},
    )


def seen(ground: Ground, _files: int) -> Row:
    """The same file once more. No cache is kept, on purpose: this is what a cache would be for."""
    _in_sync(ground)
    ours = Contestant([*ground.vmtune, "plan"])
    aims = {"python -c pass": 1.25}
    return Row("plan of a file seen before", ours, _bare(ground), aims, rounds=9)


def small(ground: Ground, _files: int) -> Row:
    """The same without a schedule, which has crontabs read and dates reckoned."""
    ground.fresh()
    declare(
        f"""\
        paths: [{{path: {IMAGES}, nocow: true}}]
        mounts: [{{target: {DATA}, options: {{compress: no}}}}]
        """
    )
    run(*ground.vmtune, "apply", "--yes")
    ours = Contestant([*ground.vmtune, "plan"])
    return Row("plan without schedules", ours, _bare(ground), {"python -c pass": 6}, rounds=15)


def mistake(ground: Ground, _files: int) -> Row:
    """A key that is misspelt: found, and explained."""
    declare(f"paths: [{{path: {IMAGES}, nocwo: true}}]")
    wrong = Contestant([*ground.vmtune, "plan"], exits=frozenset({1}))
    return Row("a mistake explained", wrong, _bare(ground), {"python -c pass": 12}, rounds=9)


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
        {"bash script": 4},
        by="wall",
        rounds=5,
    )


def many_paths(ground: Ground, _files: int) -> Row:
    """Ten thousand declared directories, all as they should be."""
    top = DATA / "many"
    paths = [top / f"{n // 100:03}" / f"{n:05}" for n in range(10_000)]
    top.mkdir()
    run("chattr", "+C", top)
    for path in paths:
        path.mkdir(parents=True)
    declare("paths:\n" + "".join(f"  - {{path: {path}, nocow: true}}\n" for path in paths))
    ours = Contestant([*ground.vmtune, "plan"])
    aims = {"python -c pass": 6}
    return Row("plan of 10,000 declared paths", ours, _bare(ground), aims, rounds=3)


ROWS = (plan, seen, small, mistake, apply, many_paths)
