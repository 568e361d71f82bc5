"""Run this project's own tests in a guest: its kernel, its Python, the libraries of its release.

``python tests/vm/suite.py [SUITE] [PATH]...`` has no limit of time: a guest without KVM takes ten
times as long as its host. Each file is run by itself, with its figures as soon as it is done, and
what it printed in .cache/vm-suite. It exits with 1 where a test failed.
"""

import io
import re
import subprocess
import sys
import tarfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
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

_WORDS = re.compile(r"(\d+) (passed|failed|errors?|skipped|xfailed|xpassed)\b")


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


def taken(guest: Guest, file: str) -> Counter[str]:
    """Run one file; its figures, and its words in a log."""
    words = f"python3 -m pytest -q --durations=3 -o timeout=7200 {file}"
    argv = f"modprobe -a loop overlay xfs; cd {THERE} && {SETTINGS} {words}"
    try:
        done = guest.run(argv, check=False, timeout=SECONDS)
        told = done.stdout + done.stderr
        found = Counter[str]()
        for line in told.splitlines()[-1:]:
            for number, word in _WORDS.findall(line):
                found[word.rstrip("s") if word.startswith("error") else word] += int(number)
        if not found:
            found["error"] += 1
    except Lost as lost:
        told, found = "\n".join([str(lost), *lost.__notes__]), Counter({"lost": 1})
        guest.cut()
        guest.boot()
    log = LOGS / f"{file.removeprefix('tests/').replace('/', '-')}.log"
    log.write_text(told, "utf-8", "surrogateescape")
    return found


def shown(found: Counter[str]) -> str:
    return ", ".join(f"{number} {word}" for word, number in sorted(found.items())) or "nothing"


def main(words: Sequence[str]) -> int:
    suite = words[0] if words and words[0] in system.SUITES else "trixie"
    paths = [word for word in words if word not in system.SUITES] or TIERS
    LOGS.mkdir(parents=True, exist_ok=True)
    total: dict[str, Counter[str]] = {}
    since = time.monotonic()
    with Guest(system.build(suite, sandbox.cache_folder(), system.TESTS), memory="3G") as guest:
        ready(guest)
        told = guest.run("uname -r; python3 --version").stdout.split("\n")
        print(f"{commit()} on {' '.join(told)}", flush=True)
        for file in files(paths):
            began = time.monotonic()
            found = taken(guest, file)
            total.setdefault("/".join(file.split("/")[:2]), Counter()).update(found)
            print(f"{time.monotonic() - began:7.0f} s  {file}: {shown(found)}", flush=True)
    for tier, found in total.items():
        print(f"{tier}: {shown(found)}")
    print(f"{(time.monotonic() - since) / 60:.0f} minutes")
    bad = sum(found[word] for found in total.values() for word in ("failed", "error", "lost"))
    good = sum(found["passed"] for found in total.values())
    print(f"{good} passed, {bad} failed")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
