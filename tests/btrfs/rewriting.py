"""The rewriting of images as a program of its own, and what other programs say of an image."""

import contextlib
import hashlib
import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests import patience
from tests.btrfs.outside import run
from tests.btrfs.sandbox import PROGRAM
from tests.btrfs.world import _ENV

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30

# One order a line: the place that is put, as apply does it. The start of the interpreter and
# the imports are not repeated.
_SERVER = """
import json, os, sys, time
from reconciler.engine.reporter import Cancelled, Reporter
from reconciler.errors import HostError
from reconciler.facts.host_view import NotVisible
from reconciler.facts.tree import NONE_LEFT
from reconciler.resources import reads, writes
from reconciler.resources.images import rewrite
from reconciler.resources.images.places import Images

rewrite.PASSING = float(os.environ.get("PASSING", rewrite.PASSING))

def count(place):
    try:
        return reads.look()(place).count
    except NotVisible:
        return -1

print("ready", flush=True)
for line in sys.stdin:
    order = json.loads(line)
    place = Images(order["path"], order["aim"], tuple(order["apart"]), tuple(order["spared"]))
    have, steps = count(place), 0

    def tell(step):
        global steps
        steps += 1
        assert 0 <= step.done <= step.size and step.all_done <= step.all_size, step
        assert 1 <= step.number <= step.of, step

    before = time.monotonic()
    said = {"how": "done", "message": "", "hint": ""}
    try:
        stop = lambda: order["steps"] is not None and steps >= order["steps"]
        writes.put(place, None, NONE_LEFT, Reporter(tell, stop))
    except HostError as refused:
        said = {"how": "refused", "message": refused.message, "hint": refused.hint}
    except Cancelled as stopped:
        said = {"how": "stopped", "message": stopped.why, "hint": ""}
    said |= {"had": have, "left": count(place), "steps": steps}
    print(json.dumps(said | {"seconds": time.monotonic() - before}), flush=True)
"""


@dataclass(frozen=True)
class Ended:
    """How it went: "done", "refused" or "stopped"; images to do before and after, -1: hidden."""

    how: str
    message: str
    hint: str
    had: int
    left: int
    steps: int
    seconds: float


class Rewriter:
    """Ready to rewrite what is below a directory."""

    def __init__(self, under: Sequence[str | Path] = (), env: Mapping[str, str] | None = None):
        self.process = subprocess.Popen(
            [*map(str, under), PROGRAM[0], "-c", _SERVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd="/",
            env={**_ENV, **(env or {})},
        )
        assert self.process.stdout
        if self.process.stdout.readline() != "ready\n":
            self.close()
            raise AssertionError("it does not start")

    def begin(self, path: Path, aim: str = "nocow", **more: object) -> None:
        """Only begin it.

        ``more``: ``spared`` and ``apart``, as of the place, ``steps`` after how many it is told to
        stop.
        """
        known: dict[str, object] = {"spared": [], "apart": [], "steps": None}
        assert more.keys() <= known.keys()
        assert self.process.stdin
        order = {"path": str(path), "aim": aim, **known, **more}
        print(json.dumps(order), file=self.process.stdin, flush=True)

    def leases(self) -> bool:
        """Whether it holds a read lease, as while it copies; the list has those of others, too."""
        its = self._processes()
        rows = (row.split() for row in Path("/proc/locks").read_text().splitlines())
        return any(row[1::2][:2] == ["LEASE", "READ"] and row[4] in its for row in rows)

    def copies(self, folder: Path) -> bool:
        """Whether it has a file in the folder that has no name yet, the copy of an image."""
        for pid in self._processes():
            for each in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(FileNotFoundError):  # closed by now
                    if os.readlink(each).startswith(f"{folder}/#"):
                        return True
        return False

    def _processes(self) -> set[str]:
        """Its own, and strace(1)'s children."""
        pid = str(self.process.pid)
        return {pid, *Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}

    def end(self) -> Ended:
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line, "it ended on its own"
        return Ended(**json.loads(line))

    def __call__(self, path: Path, aim: str = "nocow", **more: object) -> Ended:
        self.begin(path, aim, **more)
        return self.end()

    def done(self, path: Path, aim: str = "nocow", **more: object) -> None:
        """All of it, and nothing is left."""
        ended = self(path, aim, **more)
        assert (ended.how, ended.left) == ("done", 0), ended

    def refused(self, path: Path, *words: str) -> Ended:
        """Not all of it; what is said has these words."""
        ended = self(path)
        assert ended.how == "refused", ended
        assert all(word in ended.message for word in words), ended
        return ended

    def close(self) -> None:
        self.process.communicate(timeout=patience.SECONDS)


@contextlib.contextmanager
def rewriter(under: Sequence[str | Path] = (), **env: str) -> Iterator[Rewriter]:
    found = Rewriter(under, env)
    try:
        yield found
    finally:
        found.close()


# One line for each set of orders: each waits for its moment, then does what it is told to ("how").
# Writers leave a marker where they are told to. What is kept from before is got before the wait.
_COMER = """
import contextlib, fcntl, json, mmap, os, sys, threading, time

GETFLAGS = 0x80086601
turned_away = 0

def write(fd, order):
    os.pwrite(fd, order["marker"].encode(), order["at"])
    os.close(fd)

def writer(order, kept):
    write(os.open(order["path"], os.O_RDWR), order)

def writer_by_directory(order, kept):
    write(os.open(os.path.basename(order["path"]), os.O_WRONLY, dir_fd=kept), order)

def impatient_writer(order, kept):
    while True:
        with contextlib.suppress(BlockingIOError):
            return write(os.open(order["path"], os.O_RDWR | os.O_NONBLOCK), order)
        time.sleep(0.001)

def writer_by_handle(order, kept):
    "One that had found the file before; where its old data was given up, it begins anew."
    try:
        fd = os.open(f"/proc/self/fd/{kept}", os.O_RDWR)
    except PermissionError:
        fd = os.open(order["path"], os.O_RDWR)
    write(fd, order)

def mapping_writer(order, kept):
    fd = os.open(order["path"], os.O_RDWR)
    with mmap.mmap(fd, 0) as mapped:
        os.close(fd)
        time.sleep(0.01)
        mapped[order["at"] : order["at"] + len(order["marker"])] = order["marker"].encode()

def shortener(order, kept):
    os.truncate(order["path"], order["at"])

def replacer(order, kept):
    new = f"{order['path']}.new"
    with open(new, "wb") as file:
        file.write(b" " * order["at"] + order["marker"].encode())
    os.rename(new, order["path"])

def reader(order, kept):
    fd = os.open(order["path"], os.O_RDONLY)
    os.pread(fd, 4096, order["at"])
    os.close(fd)

def impatient_reader(order, kept):
    global turned_away
    try:
        fd = os.open(order["path"], os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except BlockingIOError:
        turned_away += 1
        return
    os.pread(fd, 4096, 0)
    os.close(fd)

def flags_reader(order, kept):
    fd = os.open(order["path"], os.O_RDONLY | os.O_NONBLOCK)
    fcntl.ioctl(fd, GETFLAGS, bytearray(8), True)
    os.close(fd)

def long_reader(order, kept):
    "As a backup: piece by piece."
    with open(order["path"], "rb", buffering=0) as file:
        while file.read(1 << 16):
            time.sleep(0.002)

def come(order, start, kept):
    time.sleep(max(0, start + order["delay"] - time.monotonic()))
    before = time.monotonic()
    globals()[order.get("how", "writer")](order, kept)
    return time.monotonic() - before

def kept_from_before(order):
    if order.get("how") == "writer_by_handle":
        return os.open(order["path"], os.O_PATH)
    if order.get("how") == "writer_by_directory":
        return os.open(os.path.dirname(order["path"]), os.O_RDONLY | os.O_DIRECTORY)
    return -1

for line in sys.stdin:
    orders, waited, turned_away = json.loads(line), [], 0
    kept = [kept_from_before(order) for order in orders]
    print("here", flush=True)
    start = time.monotonic()
    threads = [
        threading.Thread(target=lambda o=order, k=fd: waited.append(come(o, start, k)))
        for order, fd in zip(orders, kept)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for fd in kept:
        fd < 0 or os.close(fd)
    print(json.dumps({"waited": waited, "turned_away": turned_away}), flush=True)
"""

WRITERS = (
    "writer",
    "writer_by_directory",
    "writer_by_handle",
    "impatient_writer",
    "mapping_writer",
    "shortener",
    "replacer",
)
READERS = ("reader", "impatient_reader", "flags_reader", "long_reader")


class Comers:
    """Programs that open images at given moments: READERS and WRITERS are how."""

    def __init__(self) -> None:
        self.turned_away = 0
        self._process = subprocess.Popen(
            [PROGRAM[0], "-c", _COMER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd="/",
            env=_ENV,
        )

    def begin(self, orders: list[dict[str, object]]) -> None:
        assert self._process.stdin
        assert self._process.stdout
        print(json.dumps(orders), file=self._process.stdin, flush=True)
        assert self._process.stdout.readline() == "here\n"

    def end(self) -> list[float]:
        """Wait for all of them: seconds that each took. ``turned_away`` got EWOULDBLOCK."""
        assert self._process.stdout
        found = json.loads(self._process.stdout.readline())
        self.turned_away += found["turned_away"]
        return [float(seconds) for seconds in found["waited"]]

    def close(self) -> None:
        self._process.communicate(timeout=patience.SECONDS)


def written(path: Path, size: int, *, seed: int = 1, at: int = 0) -> Path:
    """Bytes like no others, on disk."""
    with open(path, "r+b" if path.exists() else "wb") as file:
        file.seek(at)
        file.write(hashlib.shake_128(f"{seed} {at}".encode()).digest(size))
        file.flush()
        os.fsync(file.fileno())
    return path


def digest(path: Path) -> str:
    """Read without a change to the time of access."""
    with open(os.open(path, os.O_RDONLY | os.O_NOATIME), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def extents(path: Path) -> list[tuple[int, int, str]]:
    """Logical start and length in blocks, and flags; filefrag(8), neighbours merged."""
    found: list[tuple[int, int, str]] = []
    row = re.compile(
        r"^ *\d+: +(\d+)\.\. *\d+: +\d+\.\. *\d+: +(\d+):(?: +\d+:)?(.*)$", re.MULTILINE
    )
    for start, length, flags in row.findall(run("filefrag", "-v", path)):
        kept = ",".join(f for f in ("unwritten", "encoded", "shared") if f in flags)
        at = int(start)
        if found and found[-1][0] + found[-1][1] == at and found[-1][2] == kept:
            found[-1] = (found[-1][0], found[-1][1] + int(length), kept)
        else:
            found.append((at, int(length), kept))
    return found


def allocated(path: Path) -> int:
    """Bytes, as du(1) counts."""
    return int(run("du", "-B1", path).split()[0])


def described(path: Path) -> dict[str, object]:
    """All that a rewrite keeps, but the data's layout."""
    status = run("stat", "-c", "%A %u %g %s %x %y %h", path).strip()
    return {
        "status": status,
        "acl": run("getfacl", "-cp", path),
        "attributes": run("getfattr", "-d", "-m", "^[^b]", "--absolute-names", path),
        "flags": re.sub("[Ccm]", "-", run("lsattr", "-d", path).split()[0]),
        "data": digest(path),
    }


def beside(folder: Path) -> list[str]:
    """Names below a folder that vmtune made."""
    return sorted(str(path) for path in folder.rglob(".vmtune*"))
