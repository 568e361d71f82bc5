"""Each way to use an inode, against each action that would exchange it.

The users are real: programs, mounts in several namespaces, overlays, loop devices, swap. Each goes
on while vmtune plans and applies, and writes afterwards. What it wrote must be under the name.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.btrfs.outside import is_nocow, run, sync
from tests.btrfs.rewriting import MIB, rewriter, written
from tests.btrfs.trees import is_subvolume, strays
from tests.btrfs.world import Ran, World, until

SIZE = 128 << 10

# Has files by descriptor, handle or map, and writes to them when it is told to.
PROGRAM = """
import fcntl, json, mmap, os, sys
fds, maps = {}, {}
for line in sys.stdin:
    what, name, path, text = json.loads(line)
    if what == "open":
        if name == "inside":
            os.chdir(path)
        elif name == "standing":
            fds[name] = os.open(path, os.O_PATH)
        else:
            flags = {"reader": os.O_RDONLY, "handle": os.O_PATH}.get(name, os.O_RDWR)
            fds[name] = os.open(path, flags)
        if name == "map":
            maps[name] = mmap.mmap(fds[name], 4096)
            os.close(fds.pop(name))
        if name == "lease":
            fcntl.fcntl(fds[name], fcntl.F_SETLEASE, fcntl.F_WRLCK)
    elif name == "map":
        maps[name][:len(text)] = text.encode()
    elif name in ("inside", "standing"):
        with open(f"{'.' if name == 'inside' else '/proc/self/fd/%d' % fds[name]}/{text}", "w"):
            pass
    else:
        fd = os.open(f"/proc/self/fd/{fds[name]}", os.O_RDWR) if name == "handle" else fds[name]
        if name != "reader":
            os.pwrite(fd, text.encode(), 0)
    print("done", flush=True)
"""

Write = Callable[[str], object]


class Users:
    """Everybody who uses something below ``top``; ``away`` is where they mount it."""

    def __init__(self, top: Path, away: Path, stack: ExitStack) -> None:
        self.top, self.away, self._stack = top, away, stack
        self.writes: dict[str, Write] = {}
        self.program = stack.enter_context(_program([sys.executable, "-c", PROGRAM]))
        self._other: subprocess.Popen[str] | None = None

    def image(self, name: str) -> Path:
        """A file that compresses, in a folder of its own."""
        folder = self.top / name
        if not folder.exists():
            folder.mkdir(parents=True)
            run("btrfs", "property", "set", folder, "compression", "zstd")
        (folder / "x.img").write_bytes(f"the data of {name} ".encode() * (SIZE // 16))
        return folder / "x.img"

    # --- by descriptor

    def opens(self, name: str, path: Path) -> None:
        self._tell("open", name, str(path), "")
        self.writes[name] = lambda text: self._tell("write", name, "", text)

    def _tell(self, *words: str) -> None:
        assert self.program.stdin
        assert self.program.stdout
        print(json.dumps(words), file=self.program.stdin, flush=True)
        assert self.program.stdout.readline() == "done\n", words

    # --- by mount

    def target(self, name: str, *, folder: bool) -> Path:
        path = self.away / name
        if folder:
            path.mkdir()
        else:
            path.touch()
        return path

    def mounts(self, name: str, script: str, seen: Path, enter: tuple[str, ...] = ()) -> None:
        """Run a script that mounts; ``seen`` is where the image is to be written to then."""
        if enter:
            run(*enter, "sh", "-euc", script)
        else:
            run("sh", "-euc", script)
            targets = [word for word in script.split() if word.startswith(str(self.away))]
            self._stack.callback(run, "umount", targets[-1])
        self.writes[name] = lambda text: _put(seen, text, enter)

    def apart(self) -> tuple[str, ...]:
        """Enter a mount namespace with one process in it."""
        if self._other is None:
            argv = ["unshare", "--mount", "--propagation", "private"]
            self._other = self._stack.enter_context(_program([*argv, "sh", "-c", "echo; exec cat"]))
            assert self._other.stdout
            self._other.stdout.readline()
        return ("nsenter", f"--mount=/proc/{self._other.pid}/ns/mnt")

    def kept(self) -> tuple[str, ...]:
        """Enter a mount namespace that has no process, only the mount of its file."""
        file = self.away / "kept"
        if not file.exists():
            file.touch()
            # Linux 6.18 takes a younger namespace for an older one where another CPU made it.
            until("a namespace that may be mounted", lambda: _is_kept(file))
            self._stack.callback(run, "umount", file)
        return ("nsenter", f"--mount={file}")


def _is_kept(file: Path) -> bool:
    argv = ["unshare", "--mount", "--propagation", "private", "sh", "-c", "echo; exec cat"]
    with _program(argv) as first:
        assert first.stdout
        first.stdout.readline()
        bind = ["mount", "--bind", f"/proc/{first.pid}/ns/mnt", str(file)]
        return subprocess.run(bind, stderr=subprocess.DEVNULL, check=False).returncode == 0


@contextmanager
def _program(argv: list[str]) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/"
    ) as found:
        try:
            yield found
        finally:
            found.send_signal(signal.SIGKILL)


def _put(path: Path, text: str, enter: tuple[str, ...] = ()) -> None:
    run(*enter, "sh", "-euc", f"printf %s {text} | dd of={path} conv=notrunc,fsync status=none")


def _bind(source: Path, target: Path) -> str:
    return f"mount --bind {source} {target}"


def _overlay(name: str, target: Path, **layers: Path | str) -> str:
    options = ",".join(f"{key}={value}" for key, value in layers.items())
    return f"mount -t overlay {name} -o {options} {target}"


PLUS = """
import ctypes, sys
call = ctypes.CDLL(None, use_errno=True).syscall
fs = call(430, b"overlay", 0)
for option in sys.argv[2:]:
    key, _, value = option.encode().partition(b"=")
    assert call(431, fs, 1, key, value, 0) == 0, option
assert call(431, fs, 6, None, None, 0) == 0
assert call(429, call(432, fs, 0, 0), b"", -100, sys.argv[1].encode(), 4) == 0
"""


def _descriptors(users: Users) -> dict[str, str]:
    for name in ("reader", "writer", "handle", "map", "lease"):
        users.opens(name, users.image(name))
    device = run("losetup", "--find", "--show", users.image("loop")).strip()
    users._stack.callback(run, "losetup", "--detach", device)
    users.writes["loop"] = lambda text: _put(Path(device), text)
    return dict.fromkeys(("reader", "writer", "handle", "map", "loop"), "V702")


def _file_mounts(users: Users) -> dict[str, str]:
    """The image itself is mounted, or covered, in three sorts of namespaces."""
    for name, enter in {"bound": (), "bound-apart": users.apart(), "kept": users.kept()}.items():
        seen = users.target(f"at-{name}", folder=False)
        users.mounts(name, _bind(users.image(name), seen), seen, enter)
    seen = users.target("at-read-only", folder=False)
    script = f"{_bind(users.image('read-only'), seen)}; mount -o remount,bind,ro {seen}"
    users.mounts("read-only", script, seen, users.apart())
    users.writes["read-only"] = lambda _: run(*users.apart(), "test", "-s", seen)
    image, over = users.image("covered"), users.target("over", folder=False)
    over.write_text("what only that namespace sees")
    users.mounts("covered", _bind(over, image), image, users.apart())
    users.writes["covered"] = lambda _: run(*users.apart(), "grep", "only that", image)
    return dict.fromkeys(("bound", "bound-apart", "kept", "read-only", "covered"), "V713")


def _overlays(users: Users) -> dict[str, str]:
    """The image is in a layer; a colon and a comma are in a name, and a link on the way to one."""
    ways = {"upper": (), "upper-apart": users.apart(), "upper-kept": users.kept()}
    for name, enter in ways.items():
        users.image(f"{name}/diff")
        (users.top / name / "work").mkdir()
        at = users.target(f"at-{name}", folder=True)
        script = _overlay(
            name,
            at,
            lowerdir=users.target(f"lower-{name}", folder=True),
            upperdir=users.top / name / "diff",
            workdir=users.top / name / "work",
        )
        users.mounts(name, script, at / "x.img", enter)
    users.image("lower/a:b,c")
    (users.away / "link").symlink_to(users.top / "lower")
    at = users.target("at-lower", folder=True)
    spelt = f"'{users.away}/link/a\\:b\\,c:{users.target('bottom', folder=True)}'"
    users.mounts("lower", _overlay("lower", at, lowerdir=spelt), at / "x.img", users.apart())
    users.writes["lower"] = lambda _: run(*users.apart(), "test", "-s", at / "x.img")
    _more_overlays(users)
    names = (*ways, "lower", "plus", "relative")
    return {f"{name}/{_INNER.get(name, 'diff')}": "V713" for name in names}


_INNER = {"lower": "a:b,c", "plus": "diff", "relative": "diff"}


def _more_overlays(users: Users) -> None:
    """The new calls, which name layers one by one; and names relative to where one stood."""
    users.image("plus/diff")
    at = users.target("at-plus", folder=True)
    layers = f"lowerdir+={users.top}/plus/diff lowerdir+={users.target('plus-2', folder=True)}"
    script = f"{sys.executable} -c '{PLUS}' {at} {layers}"
    users.mounts("plus", script, at / "x.img", users.apart())
    users.writes["plus"] = lambda _: run(*users.apart(), "test", "-s", at / "x.img")
    users.image("relative/diff")
    (users.top / "relative" / "work").mkdir()
    over = users.target("at-relative", folder=True)
    script = f"cd {users.top}/relative; " + _overlay(
        "relative", over, lowerdir=users.away / "bottom", upperdir="diff", workdir="work"
    )
    users.mounts("relative", script, over / "x.img", users.apart())


@pytest.fixture
def users(host: World) -> Iterator[Users]:
    top, away = host.area / "images", host.area / "away"
    away.mkdir()
    with ExitStack() as stack:
        stack.callback(Path("/var/lib/nfs/etab").unlink, missing_ok=True)
        yield Users(top, away, stack)


def _exported(path: Path) -> None:
    Path("/var/lib/nfs").mkdir(parents=True, exist_ok=True)
    Path("/var/lib/nfs/etab").write_text(f"{path}\t*(rw,sync)\n", encoding="utf-8")


def _goes_on(users: Users, images: dict[str, Path], text: str) -> None:
    """Everybody writes, and finds it under the name."""
    for name, write in users.writes.items():
        write(text)
        if name in {"reader", "read-only", "covered", "lower", "plus", "lease"}:
            continue
        assert images[name].read_bytes().startswith(text.encode()), name
    sync()


@pytest.mark.parametrize("how", [{"nocow": True}, {"compression": "none"}], ids=str)
def test_a_rewrite(host: World, users: Users, how: dict[str, object]):
    expected = _descriptors(users) | _file_mounts(users) | _overlays(users)
    users.image("exported")
    _exported(users.top / "exported")
    expected["exported"] = "V714"
    shown = users.target("shown", folder=True)
    free = users.image("free")  # in a directory that is mounted elsewhere: that shows the new file
    run(*users.apart(), "mount", "--bind", free.parent, shown)
    images = {name.partition("/")[0]: users.top / name / "x.img" for name in expected}
    inodes = {name: (path.stat().st_ino, path.stat().st_nlink) for name, path in images.items()}
    _goes_on(users, images, "before")

    folders = [users.top / name for name in (*images, "free")]
    more = {"existing": "rewrite", **how}
    host.declare(paths=[{"path": str(folder), **more} for folder in folders])
    _all_named(host.plan(expect=2), users.top, expected)
    ran = host.vmtune("apply", "--yes")
    assert "Traceback" not in ran.err

    assert {n: (p.stat().st_ino, p.stat().st_nlink) for n, p in images.items()} == inodes, ran
    _goes_on(users, images, "after")
    assert is_nocow(free) is ("nocow" in how), ran
    number = run(*users.apart(), "stat", "-c", "%i", shown / "x.img").strip()
    assert number == str(free.stat().st_ino)


def _all_named(plan: Ran, top: Path, expected: dict[str, str]) -> None:
    for name, code in expected.items():
        rows = [row for row in plan.out.splitlines() if f"{top}/{name}/x.img" in row]
        assert any(row.lstrip().startswith("! images") and code in row for row in rows), (
            name,
            code,
            str(plan),
        )


def test_a_directory_that_becomes_a_subvolume(host: World, users: Users):
    expected = dict.fromkeys(_descriptors(users), "V615")
    # A lease of somebody else's is an open file.
    expected |= {"lease": "V615"} | dict.fromkeys(_file_mounts(users), "V607")
    expected |= {name.partition("/")[0]: "V607" for name in _overlays(users)}
    expected |= _directories(users)
    images = {name: next(users.top.joinpath(name).rglob("x.img")) for name in expected}
    inodes = {name: path.stat().st_ino for name, path in images.items()}
    written = {n: w for n, w in users.writes.items() if n not in {"inside", "standing"}}
    free = users.image("free").parent

    paths = [*(users.top / name for name in expected), free]
    host.declare(paths=[{"path": str(path), "subvolume": True} for path in paths])
    plan = host.plan(expect=2)
    for name, code in expected.items():
        assert code in plan.row(f"! subvolume {users.top}/{name} "), name
    ran = host.vmtune("apply", "--yes")

    assert is_subvolume(free), ran
    assert strays(users.top) == []
    assert {name: path.stat().st_ino for name, path in images.items()} == inodes
    users.writes = written
    _goes_on(users, images, "after")
    for name in ("inside", "standing"):
        users._tell("write", name, "", "made-after")
        assert (users.top / name / "made-after").exists()


def test_names_that_the_kernel_shows_as_they_are(host: World, users: Users):
    """A carriage return ends no line in the lists of mounts and maps; swap may be on any name."""
    users.opens("map", users.image("map").rename(users.top / "map" / "a\rb"))
    bound = users.image("bound").parent
    run(*users.apart(), "mount", "--bind", bound, users.target("a\rb", folder=True))
    users.image("swap")
    _swap(users, "swäp file")
    expected = {"map": "V615", "bound": "V607", "swap": "V615"}
    host.declare(paths=[{"path": str(users.top / name), "subvolume": True} for name in expected])
    plan = host.plan(expect=7)
    for name, code in expected.items():
        assert code in plan.row(f"! subvolume {users.top}/{name} "), name


def _directories(users: Users) -> dict[str, str]:
    """Ways to use a directory, or what is in it, that leave its files alone."""
    for name in ("inside", "standing"):
        users.opens(name, users.image(name).parent)
    for name in ("folder-bound", "point", "exported"):
        users.image(name)
        (users.top / name / "deep").mkdir()
    at = users.target("at-folder", folder=True)
    run(*users.apart(), "mount", "--bind", users.top / "folder-bound" / "deep", at)
    run(*users.apart(), "mount", "-t", "tmpfs", "tmpfs", users.top / "point" / "deep")
    _exported(users.top / "exported")
    _work_layer(users)
    users.image("swap")
    _swap(users, "swap")
    return {
        **dict.fromkeys(("inside", "standing"), "V613"),
        **dict.fromkeys(("folder-bound", "point", "work-layer"), "V607"),
        "exported": "V616",
        "swap": "V615",
    }


def _swap(users: Users, name: str) -> None:
    swap = users.top / "swap" / name
    swap.touch(0o600)
    run("btrfs", "property", "set", swap, "compression", "")
    run("chattr", "+C", swap)
    run("fallocate", "-l", "1M", swap)
    run("mkswap", "-q", swap)
    run("swapon", swap)
    users._stack.callback(run, "swapoff", swap)


def _work_layer(users: Users) -> None:
    """Only the work directory of an overlay lies in it."""
    users.image("work-layer")
    (users.top / "work-layer" / "w").mkdir()
    script = _overlay(
        "inside",
        users.target("at-work", folder=True),
        lowerdir=users.away / "bottom",
        upperdir=users.target("work-upper", folder=True),
        workdir=users.top / "work-layer" / "w",
    )
    run(*users.apart(), "sh", "-euc", script)


@pytest.mark.parametrize(
    ("kind", "by"),
    [
        *(("nocow", by) for by in ("bound", "kept", "point", "upper", "inside", "exported")),
        *(("subvolume", by) for by in ("bound", "upper")),
    ],
)
def test_revert_leaves_a_directory_that_is_in_use(host: World, users: Users, kind: str, by: str):
    """Made by vmtune, empty still, and somebody has it by now."""
    users.top.mkdir()
    path = users.top / "made"
    host.declare(paths=[{"path": str(path), kind: True}])
    host.apply()
    at = users.target("at", folder=True)
    match by:
        case "bound" | "kept":
            enter = users.apart() if by == "bound" else users.kept()
            run(*enter, "mount", "--bind", path, at)
        case "point":
            run(*users.apart(), "mount", "-t", "tmpfs", "tmpfs", path)
        case "upper":
            lower, work = (users.target(name, folder=True) for name in ("lower", "w"))
            if kind == "subvolume":
                lower = path
                script = f"mount -t overlay o -o lowerdir={path}:{work} {at}"
            else:
                script = _overlay("o", at, lowerdir=lower, upperdir=path, workdir=work)
            run(*users.apart(), "sh", "-euc", script)
        case "inside":
            users.opens("inside", path)
        case "exported":
            _exported(path)
    assert "it stays" in host.vmtune("revert", "1", user=0).out
    ran = host.vmtune("revert", "1", "--yes")
    assert path.is_dir(), ran
    assert ran.code != 0, ran
    assert "stays" in ran.out + ran.err, ran
    if by in {"bound", "kept"}:
        run(*enter, "touch", at / "new")
        assert (path / "new").exists()
    if by == "upper" and kind == "nocow":
        run(*users.apart(), "touch", at / "new")
        assert (path / "new").exists()


def test_where_root_may_not_look_nothing_counts_as_free(host: World):
    """Without the right to enter namespaces and to look into others' processes."""
    folder = host.area / "images"
    folder.mkdir()
    (folder / "x.img").write_bytes(b"x" * SIZE)
    host.nocow(folder, existing="rewrite")
    with _program(["unshare", "--mount", "sh", "-c", "echo; exec cat"]) as other:
        assert other.stdout
        other.stdout.readline()
        without = ["setpriv", "--bounding-set=-sys_admin,-sys_ptrace", "--inh-caps=-sys_admin"]
        # A process with a right that the other one lacks may not be looked into by it.
        ran = host.vmtune("plan", under=without)
    assert "V715" in ran.row("! images"), ran
    assert os.path.exists(folder / "x.img")


# --- who comes meanwhile


@pytest.mark.parametrize("by", ["mount", "overlay", "handle"])
def test_who_comes_while_it_is_rewritten(host: World, by: str):
    """At any moment; afterwards it writes by what it has, and that is under the name."""
    view, folder = host.area / "view", host.area / "vm"
    folder.mkdir()
    for name in ("up", "work"):
        (host.area / name).mkdir()
    (view.mkdir if by == "overlay" else view.touch)()
    ended: Counter[str] = Counter()
    with rewriter() as rewrite:
        for number in range(ROUNDS):
            for old in folder.iterdir():
                old.unlink()
            image = written(folder / "disk.raw", 4 * MIB, seed=number)
            rewrite.begin(folder)
            time.sleep(number * 0.4 / ROUNDS)
            text = f"<mine {number}>".encode()
            if by == "handle":
                found = os.open(image, os.O_PATH)
                said = rewrite.end()
                fd = os.open(f"/proc/self/fd/{found}", os.O_RDWR)
                os.close(found)
            else:
                if by == "mount":
                    run("mount", "--bind", image, view)
                else:
                    run("sh", "-euc", _overlay("o", view, **_over(host, folder)))
                    os.listdir(view)
                said = rewrite.end()
                fd = os.open(view / "disk.raw" if by == "overlay" else view, os.O_RDWR)
            ended[said.how] += 1
            os.pwrite(fd, text, 0)
            os.close(fd)
            if by != "handle":
                run("umount", view)
            kept = [path.read_bytes()[: len(text)] for path in folder.iterdir()]
            assert text in kept, (number, said)
            if said.how == "done" or len(kept) == 1:
                assert image.read_bytes().startswith(text), (number, said)
            assert said.how in {"done", "refused"}, said
    assert ended["refused"], ended


ROUNDS = 5


def _over(host: World, upper: Path) -> dict[str, Path]:
    """An overlay whose upper layer is the directory of the images."""
    return {"lowerdir": host.area / "up", "upperdir": upper, "workdir": host.area / "work"}
