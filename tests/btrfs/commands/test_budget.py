"""What a command asks of the kernel, counted: each fact is read once, and nothing else is run."""

import re
from collections import Counter
from pathlib import Path

import pytest

from tests.btrfs.outside import run
from tests.btrfs.sandbox import TOP
from tests.btrfs.world import World

CALL = re.compile(r"^(?:\d+\s+)?(?P<name>\w+)\((?P<arguments>.*)")
LIBRARY = re.compile(r'"[^"]*(/python|/purelib|/platlib|/checkout|/lib(64)?/|/etc/ld\.so)[^"]*"')
MEMORY = {"brk", "mmap", "mprotect", "mremap", "munmap"}
OPENED = re.compile(r'openat2?\([^"]*"(?P<path>[^"]*)"')


def traced(host: World, *arguments: str, expect: int = 0) -> list[str]:
    """Every system call, of child processes too."""
    log = TOP / "budget"
    under = ["strace", "-f", "-qq", "-s", "4096", "-o", str(log)]
    ran = host.vmtune(*arguments, under=under)
    assert ran.code == expect, ran
    return log.read_text().splitlines()


def own(lines: list[str], config: Path) -> list[str]:
    """Those from the opening of the configuration on, but to load modules and to have memory."""
    first = next(n for n, line in enumerate(lines) if "openat(" in line and f'"{config}"' in line)
    found, loading = [], set()
    for line in lines[first:]:
        call = CALL.match(line)
        if call is None or call["name"] in MEMORY or LIBRARY.search(line):
            if done := re.search(r"openat\(.* = (\d+)$", line):
                loading.add(done[1])
            continue
        descriptor = re.match(r"\d+", call["arguments"])
        if descriptor and descriptor[0] in loading:
            if call["name"] == "close":
                loading.remove(descriptor[0])
            continue
        found.append(line)
    return found


def opened(lines: list[str]) -> Counter[str]:
    return Counter(found["path"] for line in lines if (found := OPENED.search(line)))


def elsewhere(files: Counter[str]) -> int:
    """Leases of another test, just now: the number of its filesystem is looked up once more."""
    return sum(count for path, count in files.items() if path.startswith("/proc/self/fdinfo/"))


@pytest.fixture
def in_sync(host: World) -> World:
    """A nocow directory with an image, an option, both applied: nothing is left to do."""
    image = host.image("data")
    host.fstab(image.line("defaults"))
    images = host.area / "images"
    host.declare(
        paths=[{"path": str(images), "nocow": True}],
        mounts=[{"target": str(image.path), "options": {"noatime": True, "compress": "no"}}],
    )
    host.apply()
    (images / "disk.raw").write_bytes(b"x" * 4096)
    return host


def test_a_plan_reads_each_fact_once(in_sync: World):
    lines = own(traced(in_sync, "plan"), in_sync.file)
    files = opened(lines)
    assert files["/proc/self/mountinfo"] == 1 + elsewhere(files), files
    for path in ("/etc/fstab", str(in_sync.file)):
        assert files[path] == 1, (path, files)
    assert files["/etc/passwd"] <= 2, files  # who calls, and whose homes there are


@pytest.mark.parametrize("words", [["status"], ["apply", "--yes"]], ids=" ".join)
def test_so_does_each_other_command_that_plans(in_sync: World, words: list[str]):
    files = opened(own(traced(in_sync, *words), in_sync.file))
    assert files["/proc/self/mountinfo"] == 1 + elsewhere(files), files
    for path in ("/etc/fstab", str(in_sync.file)):
        assert files[path] == 1, (path, files)


def test_a_plan_without_schedules_runs_nothing(in_sync: World):
    calls = [found["name"] for line in traced(in_sync, "plan") if (found := CALL.match(line))]
    assert calls.count("execve") == 1
    assert not {"fork", "vfork", "clone", "clone3"}.intersection(calls)


@pytest.mark.parametrize("words", [["plan"], ["status"], ["apply", "--yes"]], ids=" ".join)
def test_the_budget_of_a_command_in_sync(in_sync: World, words: list[str]):
    """A few hundred; one loop too many would multiply them."""
    lines = own(traced(in_sync, *words), in_sync.file)
    leases = elsewhere(opened(lines))
    calls = Counter(found["name"] for x in lines if (found := CALL.match(x)))
    assert len(lines) <= BUDGET + LEASE * leases, (len(lines), leases, calls)


BUDGET = 560  # 458 seen for status, 485 on another host: its users, units and mounts count
LEASE = 40  # of another test: whether it is on an image here is asked


def test_the_budget_of_doctor(in_sync: World):
    """It runs three programs, and looks which daemons there are among all processes."""
    lines = own(traced(in_sync, "doctor"), in_sync.file)
    # Those of its moment: beside other tests there are many more or fewer a second later.
    processes = {found[1] for x in lines if (found := re.search(r"/proc/(\d+)/", x))}
    calls = Counter(found["name"] for x in lines if (found := CALL.match(x)))
    assert len(lines) <= 3000 + 12 * len(processes), (len(lines), len(processes), calls)
    assert calls["execve"] <= 3, calls


def test_calls_grow_by_a_constant_for_each_path(host: World):
    """Of declared paths: the calls for one more are as many for the tenth as for the hundredth."""
    counts = []
    for number in (10, 20, 100):
        paths = [host.area / f"i{n:03}" for n in range(number)]
        for path in paths:
            path.mkdir(exist_ok=True)
        run("chattr", "+C", *paths)
        host.declare(paths=[{"path": str(path), "nocow": True} for path in paths])
        counts.append(len(own(traced(host, "plan"), host.file)))
    few, more, many = counts
    each = (more - few) / 10
    assert (many - more) / 80 == pytest.approx(each, rel=0.1), counts
    assert each <= EACH, counts


EACH = 40  # the filesystem and the snapshots of its subvolume were asked about before


def test_validate_looks_at_no_host(in_sync: World):
    lines = traced(in_sync, "validate", str(in_sync.file))
    files = opened(own(lines, in_sync.file))
    for path in ("/proc/self/mountinfo", "/etc/fstab", str(in_sync.area)):
        assert not [found for found in files if found.startswith(path)], files
    assert not [line for line in lines if "FS_IOC" in line and "ioctl(" in line]


@pytest.mark.parametrize("words", [["history"], ["explain", "nocow"], ["explain", "V101"]])
def test_nor_does_what_only_reads_the_journal_or_explains(in_sync: World, words: list[str]):
    lines = traced(in_sync, *words)
    files = opened(lines)
    for path in ("/proc/self/mountinfo", "/etc/fstab", str(in_sync.area)):
        assert not [found for found in files if found.startswith(path)], files
    assert not [line for line in lines if "FS_IOC" in line and "ioctl(" in line]
