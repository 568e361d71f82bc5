"""Configurations edited at random and applied: the host always holds exactly what is declared.

``VMTUNE_EXAMPLES=200`` runs as many sequences instead of the few that every run of the suite has.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.btrfs.each import CRON_D
from tests.btrfs.outside import compression, is_nocow, mountinfo, run
from tests.btrfs.world import FSTAB, TOP, Image, Ran, World, fresh

EXAMPLES = int(os.environ.get("VMTUNE_EXAMPLES", "10"))
THERE, INNER, MISSING = ("d0", "d1"), "d0/inner", "new"
DIRECTORIES = (*THERE, INNER, MISSING)
TARGETS = ("first", "second")
THINGS = (
    *(("nocow", name) for name in DIRECTORIES),
    *(("mount", name) for name in TARGETS),
    ("noatime", "first"),
    ("cron", "d1"),
)
SPELLINGS = ("plain", "slash", "double", "link", "bind")
NAMES = ("one.yaml", "two.yaml", "three.yaml")

Thing = tuple[str, str]


class Machine(RuleBasedStateMachine):
    """``applied`` is what each file declared when it was applied last, also one that is gone.

    A file that is there holds it, until the file is applied anew. What only files that are gone
    declared is left as it is, until a file that declares it as well no longer does.
    """

    def __init__(self, host: World, image: Image, second: Path) -> None:
        super().__init__()
        self.host, self.image = host, image
        self.targets = {"first": image.path, "second": second}
        self.texts: dict[str, dict[Thing, str]] = {}
        self.applied: dict[str, dict[Thing, str]] = {}
        self.loose: set[str] = set()

    # --- the host

    @initialize()
    def begin(self) -> None:
        fresh_state(self.host)
        self.area = self.host.area / "machine"
        shutil.rmtree(self.area, ignore_errors=True)
        for name in ("d0/inner", "d1", "links", "binds"):
            (self.area / name).mkdir(parents=True)
        for name in THERE:
            (self.area / "links" / name).symlink_to(self.area / name)
            (self.area / "binds" / name).mkdir()
            run("mount", "--bind", self.area / name, self.area / "binds" / name)
        run("mount", "-o", "remount,compress=zstd,relatime", "--options-source=disable",
            self.image.path)  # fmt: skip
        self.host.fstab(
            self.image.line("x-a,compress=zstd,relatime")
            + self.image.line("subvol=sub,compress=zstd", self.targets["second"])
        )
        self.declare(NAMES[0], ("nocow", "d0"), "plain")

    def teardown(self) -> None:
        for name in THERE:
            with contextlib.suppress(RuntimeError, AssertionError, OSError):
                run("umount", self.area / "binds" / name)

    def spelt(self, name: str, spelling: str) -> str:
        plain = str(self.area / name)
        if spelling in {"link", "bind"} and name in THERE:
            return str(self.area / f"{spelling}s" / name)
        return {"slash": f"{plain}/", "double": f"/{plain}"}.get(spelling, plain)

    # --- edits

    @rule(
        name=st.sampled_from(NAMES), thing=st.sampled_from(THINGS), how=st.sampled_from(SPELLINGS)
    )
    def declare(self, name: str, thing: Thing, how: str) -> None:
        self.texts.setdefault(name, {})[thing] = how

    @precondition(lambda self: any(self.texts.values()))
    @rule(data=st.data(), how=st.sampled_from(SPELLINGS))
    def respell(self, data: st.DataObject, how: str) -> None:
        name, thing = data.draw(st.sampled_from(self.entries()))
        self.texts[name][thing] = how

    @precondition(lambda self: any(self.texts.values()))
    @rule(data=st.data())
    def take_out(self, data: st.DataObject) -> None:
        name, thing = data.draw(st.sampled_from(self.entries()))
        del self.texts[name][thing]

    @precondition(lambda self: any(self.texts.values()))
    @rule(data=st.data(), to=st.sampled_from(NAMES))
    def hand_over(self, data: st.DataObject, to: str) -> None:
        """An entry moves from one file to another."""
        name, thing = data.draw(st.sampled_from(self.entries()))
        how = self.texts[name].pop(thing)
        self.declare(to, thing, how)

    @precondition(lambda self: self.texts)
    @rule(data=st.data(), to=st.sampled_from(NAMES))
    def move(self, data: st.DataObject, to: str) -> None:
        """A file gets another name; what had that name is replaced."""
        name = data.draw(st.sampled_from(sorted(self.texts)))
        if name != to:
            self.texts[to] = self.texts.pop(name)

    def entries(self) -> list[tuple[str, Thing]]:
        return [(name, thing) for name, of in sorted(self.texts.items()) for thing in sorted(of)]

    # --- what is done

    @precondition(lambda self: self.texts)
    @rule(data=st.data(), by=st.sampled_from(["name", "link"]))
    def apply(self, data: st.DataObject, by: str) -> None:
        name = data.draw(st.sampled_from(sorted(self.texts)))
        self.write()
        ran = self.vmtune(name, by, "apply", "--yes")
        self.note(name)
        assert ran.code == (7 if self.left() else 0), ran
        self.check()

    @precondition(lambda self: any(("cron", "d1") in text for text in self.texts.values()))
    @rule(data=st.data())
    def apply_in_vain(self, data: st.DataObject) -> None:
        """A schedule cannot be written: the next apply does it."""
        name = data.draw(
            st.sampled_from(sorted(n for n, text in self.texts.items() if ("cron", "d1") in text))
        )
        self.write()
        run("mount", "--bind", CRON_D, CRON_D)
        run("mount", "-o", "remount,bind,ro", CRON_D)
        try:
            self.vmtune(name, "name", "apply", "--yes")
        finally:
            run("umount", CRON_D)
        ran = self.vmtune(name, "name", "apply", "--yes")
        self.note(name)
        assert ran.code == (7 if self.left() else 0), ran
        self.check()

    def note(self, name: str) -> None:
        """What the file declares is on record; what nobody does beside it any more is undone."""
        before = self.applied.get(name, {}).keys()
        self.applied[name] = dict(self.texts[name])
        undone = before - self.wanted()
        for file in self.applied.keys() - self.texts.keys():
            for thing in undone:
                self.applied[file].pop(thing, None)
        if ("nocow", "d0") in self.applied[name]:
            self.loose.add(INNER)

    def write(self) -> None:
        """The files as they are to be; those that are no more are removed."""
        for file in NAMES:
            path = self.host.file.with_name(file)
            if file not in self.texts:
                path.unlink(missing_ok=True)
                continue
            path.write_text(json.dumps({"version": 1, **self.sections(self.texts[file])}))
            path.chmod(0o644)
            link = path.with_name(f"link-{file}")
            link.unlink(missing_ok=True)
            link.symlink_to(path)

    def sections(self, text: dict[Thing, str]) -> dict[str, object]:
        paths = [
            {"path": self.spelt(name, how), "nocow": True}
            for (kind, name), how in text.items()
            if kind == "nocow"
        ]
        jobs = [
            {"path": self.spelt(name, how), "schedule": "@weekly", "scheduler": "cron"}
            for (kind, name), how in text.items()
            if kind == "cron"
        ]
        mounts: dict[str, dict[str, object]] = {}
        for kind, name in text:
            if kind == "mount":
                mounts.setdefault(name, {})["compress"] = "no"
            if kind == "noatime":
                mounts.setdefault(name, {})["noatime"] = True
        targets = [{"target": str(self.targets[n]), "options": of} for n, of in mounts.items()]
        return {"paths": paths, "defrag": jobs, "mounts": targets}

    def vmtune(self, name: str, by: str, *words: str) -> Ran:
        path = self.host.file.with_name(f"link-{name}" if by == "link" else name)
        return self.host.vmtune(*words, config=path)

    # --- what holds

    def wanted(self) -> set[Thing]:
        """What files that are there declared."""
        return self._declared(self.applied.keys() & self.texts.keys())

    def left(self) -> set[Thing]:
        """What only files that are gone declared."""
        return self._declared(self.applied.keys() - self.texts.keys()) - self.wanted()

    def _declared(self, files: Iterable[str]) -> set[Thing]:
        return {thing for file in files for thing in self.applied[file]}

    def check(self) -> None:
        on = self.wanted() | self.left()
        for name in DIRECTORIES:
            path, is_on = self.area / name, ("nocow", name) in on
            if name == MISSING:
                assert path.exists() == is_on, f"{name} {sorted(on)}"
            if path.exists() and (is_on or name not in self.loose):
                assert is_nocow(path) == is_on, f"{name} {sorted(on)}"
        lines = [line.split()[3] for line in FSTAB.read_text().splitlines()]
        for name, line in zip(TARGETS, lines, strict=True):
            assert ("compress=no" in line) == (("mount", name) in on), f"{lines} {sorted(on)}"
        assert ("noatime" in lines[0]) == (("noatime", "first") in on), f"{lines} {sorted(on)}"
        is_off = not compression(self.image.path)
        mounts = {("mount", name) for name in TARGETS}
        # One setting for both: whoever declared it last answers for it, whatever a line still says.
        if on.isdisjoint(mounts) or self.wanted() & mounts:
            assert is_off == bool(on & mounts), sorted(on)
        has_noatime = "noatime" in mountinfo(self.image.path)[0]
        assert has_noatime == (("noatime", "first") in on), sorted(on)
        # By another mount point it is another file's schedule.
        of_d1 = [of[("cron", "d1")] for of in self.applied.values() if ("cron", "d1") in of]
        most = max(1, len({how == "bind" for how in of_d1}))
        made = len(list(CRON_D.iterdir()))
        assert 1 <= made <= most if ("cron", "d1") in on else made == 0, sorted(on)
        for name in self.applied.keys() & self.texts.keys():
            if self.applied[name].keys() == self.texts[name].keys():
                ran = self.vmtune(name, "name", "plan", "--detailed-exitcode")
                assert ran.code == (7 if self.left() else 0), ran


def fresh_state(host: World) -> None:
    """Forget what the sequence before left, but for what is mounted."""
    shutil.rmtree("/var/lib/vmtune", ignore_errors=True)
    for path in (*CRON_D.iterdir(), *host.file.parent.glob("*.yaml")):
        path.unlink()


def test_the_host_holds_exactly_what_is_declared(host: World) -> None:
    fresh()
    image = host.image("data", "compress=zstd")
    image.subvolume("sub")
    second = image.mount(TOP / "t" / "other", "subvol=sub")

    def machine() -> Machine:
        return Machine(host, image, second)

    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=14,
            deadline=None,
            phases=(Phase.generate,),
            derandomize="VMTUNE_EXAMPLES" not in os.environ,
            suppress_health_check=list(HealthCheck),
        ),
    )
