"""Run this project's own tests in guests: their kernel, their Python, the libraries of a release.

``python tests/vm/suite.py [SUITE] [PATH]...`` has no limit of time: a guest without KVM takes ten
times as long as its host. Two guests share the files. Each file is run by itself, with its figures
as soon as it is done, and what it printed in .cache/vm-suite, in a folder of the commit. A run that
was interrupted goes on there: a file that was run at this commit is not run again, unless it
failed. The run exits with 1 where a test failed.
"""

import contextlib
import io
import queue
import re
import subprocess
import sys
import tarfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cronsim

CHECKOUT = Path(__file__).parents[2]
sys.path.insert(0, str(CHECKOUT))  # tests are no package; this names helpers by their full path

from tests.host import sandbox  # noqa: E402
from tests.vm import system  # noqa: E402
from tests.vm.machine import Guest, Lost  # noqa: E402
from tests.vm.seen import commit  # noqa: E402

TIERS = ("tests/unit", "tests/property", "tests/btrfs")
THERE = "/root/vmtune"
LOGS = CHECKOUT / ".cache/vm-suite"
SETTINGS = "VMTUNE_REQUIRE_TIERS=btrfs,judges VMTUNE_TEST_PATIENCE=20"
"""Tiers fail where they cannot run; what takes seconds elsewhere takes minutes."""
SECONDS = 4 * 3600
"""For one file: this is about life, not speed."""

GUESTS = 2
"""Most of what runs in a guest is one thread; a guest without KVM takes a whole processor."""
WORDS = "norandmaps"
"""QEMU translates a library once for all processes that have it at one address: a fifth faster."""
BAD = {"failed", "error", "lost"}

_WORDS = re.compile(r"(\d+) (passed|failed|errors?|skipped|xfailed|xpassed|lost)\b")


def files(paths: Sequence[str]) -> Iterator[str]:
    """The test files below the paths, those of the quick tiers first."""
    for path in paths:
        found = CHECKOUT / path
        each = sorted(found.rglob("test_*.py")) if found.is_dir() else [found]
        yield from (str(file.relative_to(CHECKOUT)) for file in each)


def checkout() -> bytes:
    """What git knows of the working tree, packed."""
    argv = ["git", "-C", str(CHECKOUT), "ls-files", "-z", "--", ".", ":!docs/*.svg"]
    names = subprocess.check_output(argv, text=True).split("\0")
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as pack:
        for name in filter(None, names):
            if (CHECKOUT / name).exists():
                pack.add(CHECKOUT / name, name, recursive=False)
    return out.getvalue()


def ready(guest: Guest) -> None:
    guest.write("/root/vmtune.tar.gz", checkout())
    guest.run(f"mkdir {THERE}; tar -C {THERE} --no-same-owner -xzf /root/vmtune.tar.gz")
    # The one library that no release of Debian has; it is Python alone.
    there = guest.run("python3 -c 'import site; print(site.getsitepackages()[0])'").stdout.strip()
    guest.push(Path(cronsim.__file__).parent, f"{there}/cronsim")
    guest.run("sync")  # a guest that is lost boots again from its disk


def figures(told: str) -> Counter[str]:
    """Read the figures of a file from pytest's last line; one error where it has none."""
    found = Counter[str]()
    for line in told.splitlines()[-1:]:
        for number, word in _WORDS.findall(line):
            found[word.rstrip("s") if word.startswith("error") else word] += int(number)
    return found or Counter(error=1)


def taken(guest: Guest, file: str) -> str:
    """Run one file in the guest; what pytest printed."""
    words = f"python3 -m pytest -q --durations=3 -o timeout=7200 {file}"
    argv = f"modprobe -a loop overlay xfs; cd {THERE} && {SETTINGS} {words}"
    try:
        done = guest.run(argv, check=False, timeout=SECONDS)
    except Lost as lost:
        guest.cut()
        guest.boot()
        return "\n".join([str(lost), *lost.__notes__, "1 lost"])
    # pytest's figures are the last line that is read, whatever it said on the other stream.
    return done.stderr + done.stdout


class Run:
    """One commit's tests, by file, with a log of each."""

    def __init__(self, built: system.System, paths: Sequence[str]) -> None:
        self.built = built
        self.folder = LOGS / built.suite / commit()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.found: dict[str, Counter[str]] = {}
        self.left = queue.SimpleQueue[str]()
        for file in files(paths):
            log = self.log(file)
            known = figures(log.read_text("utf-8", "replace")) if log.exists() else Counter(lost=1)
            if BAD.isdisjoint(known) and not commit().endswith("+"):
                self.found[file] = known
            else:
                self.left.put(file)

    def log(self, file: str) -> Path:
        return self.folder / f"{file.removeprefix('tests/').replace('/', '-')}.log"

    def share(self) -> None:
        """Run files in a guest of its own until none is left."""
        made = Guest(self.built, memory="3G", processors=1, words=WORDS)
        with made as guest, contextlib.suppress(queue.Empty):
            ready(guest)
            while True:
                file, began = self.left.get_nowait(), time.monotonic()
                told = taken(guest, file)
                self.log(file).write_text(told, "utf-8", "surrogateescape")
                self.found[file] = figures(told)
                seconds = time.monotonic() - began
                print(f"{seconds:7.0f} s  {file}: {shown(self.found[file])}", flush=True)


def shown(found: Counter[str]) -> str:
    return ", ".join(f"{number} {word}" for word, number in sorted(found.items())) or "nothing"


def main(words: Sequence[str]) -> int:
    suite = words[0] if words and words[0] in system.SUITES else "trixie"
    paths = [word for word in words if word not in system.SUITES] or TIERS
    since = time.monotonic()
    run = Run(system.build(suite, sandbox.cache_folder(), system.TESTS), paths)
    print(f"{commit()} on {run.built.name}, kernel {run.built.kernel}")
    print(f"{len(run.found)} files were run before, {run.left.qsize()} are left", flush=True)
    with ThreadPoolExecutor(GUESTS) as guests:
        for each in [guests.submit(run.share) for _ in range(GUESTS)]:
            each.result()
    total: dict[str, Counter[str]] = {}
    for file, found in run.found.items():
        total.setdefault("/".join(file.split("/")[:2]), Counter()).update(found)
    for tier, found in sorted(total.items()):
        print(f"{tier}: {shown(found)}")
    print(f"{(time.monotonic() - since) / 60:.0f} minutes")
    bad = sum(found[word] for found in total.values() for word in BAD)
    good = sum(found["passed"] for found in total.values())
    print(f"{good} passed, {bad} failed")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
