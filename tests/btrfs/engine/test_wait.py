"""``apply --wait``: all else is done, then each image once it is let go, by real holders."""

import contextlib
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import patience
from tests.btrfs.commands.test_json import check
from tests.btrfs.each import records
from tests.btrfs.outside import is_nocow, run
from tests.btrfs.rewriting import MIB, beside, digest, written
from tests.btrfs.sandbox import PROGRAM
from tests.btrfs.world import _ENV, World, until

HOLD = "import sys; f = open(sys.argv[1], 'rb'); print('open', flush=True); sys.stdin.read()"


@pytest.fixture
def images(host: World) -> Path:
    """Three images; the directory is nocow already, so that they are all there is to do."""
    top = host.area / "vm"
    top.mkdir()
    for number, name in enumerate(("a.raw", "b.raw", "c.raw")):
        written(top / name, MIB, seed=number)
    run("chattr", "+C", top)
    host.nocow(top, existing="rewrite")
    return top


@contextlib.contextmanager
def holding(path: Path, code: str = HOLD) -> Iterator[subprocess.Popen[str]]:
    """A program that has the image open until its standard input ends."""
    with subprocess.Popen(
        [PROGRAM[0], "-c", code, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd="/",
        env=_ENV,
    ) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "open\n"
            yield process
        finally:
            process.kill()


def let_go(process: subprocess.Popen[str]) -> None:
    assert process.stdin
    process.stdin.close()
    process.wait(patience.SECONDS)


class Waiting:
    """A run of vmtune beside the test, its standard error read as it comes."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process, self.seen = process, ""

    def see(self, words: str) -> None:
        assert self.process.stderr
        while words not in self.seen:
            line = self.process.stderr.readline()
            assert line, f"{words!r} is not in\n{self.seen}\n{self.process.stdout.read()}"
            self.seen += line

    def end(self, code: int) -> str:
        """All that it printed; it ended with that code."""
        out, err = self.process.communicate(timeout=patience.SECONDS)
        self.seen += err
        assert self.process.returncode == code, out + self.seen
        assert "Traceback" not in self.seen
        return out


@contextlib.contextmanager
def waiting(host: World, *options: str) -> Iterator[Waiting]:
    process = host.start("apply", "--yes", *(options or ("--wait",)))
    try:
        yield Waiting(process)
    finally:
        process.kill()
        process.communicate()


def test_all_else_first_then_each_image_as_it_is_let_go(host: World, images: Path):
    whats = {path: digest(path) for path in images.iterdir()}
    with (
        holding(images / "b.raw") as one,
        holding(images / "c.raw") as other,
        waiting(host) as run_,
    ):
        run_.see(f"waiting for image {images}/b.raw: in use by python")
        assert f"(pid {one.pid}); 1 more" in run_.seen
        assert is_nocow(images / "a.raw")
        let_go(other)
        until("c.raw is done", lambda: is_nocow(images / "c.raw"))
        assert not is_nocow(images / "b.raw")
        assert one.poll() is None
        let_go(one)
        out = run_.end(0)
    assert "3 of 3 read back as planned" in out
    assert {path: digest(path) for path in images.iterdir()} == whats
    assert all(map(is_nocow, whats))
    assert beside(images) == []
    assert "[2/3] done   image" in out
    host.plan()
    host.config("paths: []\n")  # nobody wants it back
    assert "Nothing is declared" in host.plan().out
    assert "images" not in host.plan().out


def test_one_image_that_is_chosen_is_waited_for(host: World, images: Path):
    """With an argument, too; its neighbour is neither waited for nor rewritten."""
    chosen = str(images / "b.raw")
    with (
        holding(images / "b.raw") as one,
        holding(images / "c.raw"),
        waiting(host, "--wait", chosen) as run_,
    ):
        run_.see(f"waiting for image {chosen}: in use by python")
        assert "more" not in run_.seen.partition("waiting for image")[2]
        let_go(one)
        out = run_.end(0)
    assert "1 to change" in out
    assert "1 of 1 image rewritten, fragments" in out
    assert "`revert` cannot take this back" in out
    assert "1 of 1 read back as planned" in out
    assert list(map(is_nocow, sorted(images.iterdir()))) == [False, True, False]


@pytest.mark.parametrize("chosen", [False, True])
def test_an_image_that_goes_is_left_out(host: World, images: Path, *, chosen: bool):
    image = images / "b.raw"
    options = ("--wait", "--json", *([str(image)] if chosen else []))
    with holding(image) as one, waiting(host, *options) as run_:
        run_.see("waits for what is in use")
        until("the others are done", lambda: chosen or is_nocow(images / "c.raw"))
        image.rename(host.area / "elsewhere.raw")
        let_go(one)
        events = [json.loads(line) for line in run_.end(0).splitlines()]
    for event in events:
        check("events", event)
    left_out = [event for event in events if event["event"] == "left_out"]
    assert left_out == [{"event": "left_out", "subject": f"image {image}", "why": "it is gone"}]
    assert not is_nocow(host.area / "elsewhere.raw")


def test_what_is_let_go_while_the_others_are_rewritten_is_done_too(host: World, images: Path):
    with holding(images / "b.raw") as one, waiting(host) as run_:
        run_.see("[1/2] images below")
        run_.process.send_signal(signal.SIGSTOP)
        let_go(one)
        run_.process.send_signal(signal.SIGCONT)
        out = run_.end(0)
    assert "verified: 2 of 2 read back as planned" in out
    assert all(map(is_nocow, images.iterdir()))


def test_while_it_waits_nothing_is_held_and_another_run_works(host: World, images: Path):
    other = host.area / "other.yaml"
    other.write_text(f"version: 1\npaths: [{{path: {host.area}/more, nocow: true}}]\n")
    with holding(images / "b.raw") as holder, waiting(host) as run_:
        run_.see("waiting for image")
        assert not leases_of(run_.process.pid)
        assert str(images) not in " ".join(open_files(run_.process.pid))
        ran = host.vmtune("apply", "--yes", config=other)
        assert ran.code == 0, ran
        assert "waiting for another" not in ran.err
        assert is_nocow(host.area / "more")
        let_go(holder)
        run_.end(0)
    assert is_nocow(images / "b.raw")
    assert is_nocow(host.area / "more")
    assert [record[0]["command"] for record in records()] == [
        "apply --wait",
        "apply",
        "apply --wait",
    ]
    assert all(record[-1]["result"] == "done" for record in records())
    host.plan()


def leases_of(pid: int) -> list[str]:
    rows = Path("/proc/locks").read_text().splitlines()
    return [row for row in rows if row.split()[-4] == str(pid)]


def open_files(pid: int) -> list[str]:
    found = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            found.append(os.readlink(entry))
    return found


def test_it_wakes_by_events_and_is_idle_otherwise(host: World, images: Path):
    """Files of others that are opened and closed all the time keep it no busier either."""
    with holding(images / "b.raw") as holder, waiting(host) as run_:
        run_.see("waiting for image")
        pid = run_.process.pid
        begun, before = time.monotonic(), cpu(pid)
        while time.monotonic() < begun + 3:
            (images / "a.raw").read_bytes()
            os.close(os.open(images / "b.raw", os.O_RDONLY))
        assert cpu(pid) - before < 0.3 * (time.monotonic() - begun)
        freed = time.monotonic()
        let_go(holder)
        run_.end(0)
        assert time.monotonic() - freed < 4 * patience.FACTOR


def cpu(pid: int) -> float:
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_wait(host: World, images: Path, number: int):
    with holding(images / "b.raw"), waiting(host) as run_:
        run_.see("waiting for image")
        run_.process.send_signal(number)
        out = run_.end(130)
    assert f"interrupted; 1 left: image {images}/b.raw, in use by python" in run_.seen
    assert "verified: 1 of 2 read back as planned" in out
    assert [is_nocow(path) for path in sorted(images.iterdir())] == [True, False, True]
    assert beside(images) == []


def test_a_signal_while_it_rewrites_finishes_or_undoes_that_first(host: World, images: Path):
    big = written(images.parent / "big", 200 * MIB)
    big = big.rename(images / "b.raw")
    before = digest(big)
    with holding(big) as holder, waiting(host) as run_:
        run_.see("waiting for image")
        let_go(holder)
        run_.see("[2/2] image")
        run_.process.send_signal(signal.SIGINT)
        run_.end(130)
    told = f"interrupted; 1 left: image {images}/b.raw\n    what was done stays; running it again"
    assert told in run_.seen
    assert "run it again" not in run_.seen, "told once"
    assert digest(big) == before
    assert beside(images) == []
    host.apply()
    assert digest(big) == before
    assert is_nocow(big)


def test_a_signal_while_the_others_are_rewritten_counts_what_is_waited_for(
    host: World, images: Path
):
    written(images.parent / "big", 200 * MIB).rename(images / "c.raw")
    with holding(images / "b.raw"), waiting(host) as run_:
        run_.see("[1/2] images below")
        run_.process.send_signal(signal.SIGINT)
        out = run_.end(130)
    assert "verified" not in out, "nothing was done"
    assert "vmtune: interrupted\n    running it again does the rest\n" in run_.seen
    assert "1 change" not in run_.seen


def test_time_up_is_7_and_the_last_line_says_what_is_left(host: World, images: Path):
    with holding(images / "b.raw") as holder:
        ran = host.vmtune("apply", "--yes", "--wait-for", "1s")
        assert ran.code == 7, ran
        last = f"time is up after 1s; 1 left: image {images}/b.raw, in use by python"
        assert ran.out.splitlines()[-1].startswith(last), ran
        assert f"(pid {holder.pid})" in ran.out.splitlines()[-1]
    assert is_nocow(images / "a.raw")
    assert not is_nocow(images / "b.raw")


def test_programs_get_events(host: World, images: Path):
    with holding(images / "b.raw") as holder, waiting(host, "--wait-for", "20s", "--json") as run_:
        assert run_.process.stdout
        lines = []
        while not lines or lines[-1].get("event") != "awaits":
            lines.append(json.loads(run_.process.stdout.readline()))
        let_go(holder)
        lines += [json.loads(line) for line in run_.end(0).splitlines()]
    for line in lines:
        check("events", line)
    (awaits,) = [line for line in lines if line["event"] == "awaits"]
    assert awaits["subject"] == f"image {images}/b.raw"
    assert (awaits["left"], awaits["seconds"]) == (1, 20)
    events = [line["event"] for line in lines if line["event"] != "progress"]
    assert events == [
        "plan", "begin", "end", "awaits", "released", "begin", "end", "verified", "exit",
    ]  # fmt: skip
    numbers = [line["number"] for line in lines if line["event"] in {"begin", "end"}]
    assert numbers == [1, 1, 2, 2]
    assert lines[-2] == {"event": "verified", "held": 2, "of": 2}


def test_and_are_told_that_the_time_is_up(host: World, images: Path):
    with holding(images / "b.raw"):
        ran = host.vmtune("apply", "--yes", "--wait-for", "1s", "--json")
    lines = [json.loads(line) for line in ran.out.splitlines()]
    for line in lines:
        check("events", line)
    assert lines[-2]["event"] == "time_up"
    assert lines[-2]["left"][0]["subject"] == f"image {images}/b.raw"
    assert lines[-1] == {"event": "exit", "code": 7}


def test_a_loop_device(host: World, images: Path):
    device = run("losetup", "--find", "--show", images / "b.raw").strip()
    try:
        with waiting(host) as run_:
            run_.see(f"waiting for image {images}/b.raw: in use by {device}")
            run("losetup", "--detach", device)
            run_.end(0)
    finally:
        subprocess.run(["losetup", "--detach", device], check=False, capture_output=True)
    assert is_nocow(images / "b.raw")


def test_a_mount_of_the_file(host: World, images: Path):
    """Nobody has it open; the table of mounts tells that it changed."""
    point = host.area / "point"
    point.touch()
    run("mount", "--bind", images / "b.raw", point)
    with waiting(host) as run_:
        run_.see(f"waiting for image {images}/b.raw: it is mounted at {point}")
        run("umount", point)
        run_.end(0)
    assert is_nocow(images / "b.raw")


def test_a_mount_in_another_namespace(host: World, images: Path):
    """Of that no event tells: it is looked for now and then."""
    point = host.area / "point"
    point.touch()
    code = (
        "import subprocess, sys; subprocess.run(['mount', '--bind', *sys.argv[1:]], check=True); "
        "print('open', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        ["unshare", "--mount", PROGRAM[0], "-c", code, images / "b.raw", point],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "open\n"
        with waiting(host) as run_:
            run_.see(f"waiting for image {images}/b.raw: it is mounted at {point}")
            let_go(process)
            run_.end(0)
    assert is_nocow(images / "b.raw")


def test_an_image_of_two_files_of_which_one_is_open(host: World, images: Path):
    for path in images.iterdir():
        path.unlink()
    base, top = host.area / "base.qcow2", host.area / "top.qcow2"
    run("qemu-img", "create", "-q", "-f", "qcow2", base, "8M")
    run("qemu-img", "create", "-q", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", top)
    for path in (base, top):
        path.rename(images / path.name)
    with holding(images / "top.qcow2") as holder, waiting(host) as run_:
        run_.see("waiting for image")
        assert not is_nocow(images / "base.qcow2")
        let_go(holder)
        out = run_.end(0)
    assert "2 of 2 read back as planned" in out
    assert is_nocow(images / "base.qcow2")
    assert is_nocow(images / "top.qcow2")


def test_who_comes_again_is_waited_for_again(host: World, images: Path):
    """Opened for writing as the rewrite has begun: that gives way, and comes back."""
    big = written(images.parent / "big", 300 * MIB).rename(images / "b.raw")
    with holding(big) as holder, waiting(host) as run_:
        run_.see("waiting for image")
        number = big.stat().st_ino
        let_go(holder)
        # A write lease asks whether the image is free; under a read lease it is copied.
        copying = re.compile(rf"LEASE +ACTIVE +READ .*:{number} ")
        until("it copies", lambda: copying.search(Path("/proc/locks").read_text()))
        with big.open("r+b") as mine:
            mine.write(b"<mine>")
            run_.see("in use")
        out = run_.end(0)
    assert big.read_bytes()[:6] == b"<mine>"
    assert is_nocow(big)
    assert "[2/2] failed" in out
    assert "[2/2] done" in out
    assert "2 of 2 read back as planned" in out
    assert beside(images) == []


def test_what_nobody_was_shown_is_not_done(host: World, images: Path):
    """A person said yes to three images; a fourth comes while the run waits."""
    with holding(images / "b.raw") as holder, host.typed("apply", "--wait") as typed:
        typed.see("Make these 2 changes? Only `yes` does it")
        typed.type("yes\n")
        typed.see("waiting for image")
        written(host.area / "d.raw", MIB).rename(images / "d.raw")
        let_go(holder)
        assert typed.end() == 3, typed.screen
    assert "still differs: images below" in typed.screen
    assert is_nocow(images / "b.raw")
    assert not is_nocow(images / "d.raw")


def test_on_a_terminal_one_line_names_image_and_holder(host: World, images: Path):
    deep = images / ("long" * 20)
    deep.mkdir()
    image = (images / "b.raw").rename(deep / "b.raw")
    with (
        holding(image) as holder,
        host.typed("apply", "--yes", "--wait-for", "2h", COLUMNS="80", TERM="xterm") as typed,
    ):
        typed.see("2:00 h left")
        line, name = re.findall(r"\r([^\r]*)\x1b\[K", typed.screen)[-1], Path(PROGRAM[0]).name
        assert line.startswith("  waiting for ...")
        assert line.endswith(f"long/b.raw: in use by {name} (pid {holder.pid}); 2:00 h left")
        assert len(line) < 80
        let_go(holder)
        assert typed.end() == 0, typed.screen
    assert "\r\x1b[K" in typed.screen
    assert "verified: 2 of 2" in typed.screen


def test_what_is_let_go_before_the_answer_is_done_at_once(host: World, images: Path):
    """It was shown as waited for, so nobody is asked again."""
    with holding(images / "b.raw") as holder, host.typed("apply", "--wait") as typed:
        typed.see("Only `yes` does it")
        let_go(holder)
        typed.type("yes\n")
        assert typed.end() == 0, typed.screen
    assert all(map(is_nocow, images.iterdir()))


def test_what_is_opened_before_the_answer_is_waited_for(host: World, images: Path):
    with host.typed("apply", "--wait") as typed:
        typed.see("Only `yes` does it")
        with holding(images / "b.raw") as holder:
            typed.type("yes\n")
            typed.see(f"waiting for image {images}/b.raw")
            let_go(holder)
            assert typed.end() == 0, typed.screen
    assert all(map(is_nocow, images.iterdir()))
    assert "left out" not in typed.screen


def test_ctrl_c_at_the_terminal(host: World, images: Path):
    with holding(images / "b.raw"), host.typed("apply", "--wait", "--yes", str(images)) as typed:
        typed.see("waiting for image")
        typed.type("\x03")
        assert typed.end() == 130, typed.screen
    assert f"interrupted; 1 left: image {images}/b.raw" in typed.screen
    assert "Traceback" not in typed.screen


def test_of_two_that_wait_one_does_it_and_both_end_well(host: World, images: Path):
    with holding(images / "b.raw") as holder, waiting(host) as one:
        one.see("waiting for image")
        with waiting(host, "--wait", str(images)) as other:
            other.see("waiting for image")
            let_go(holder)
            told = [one.end(0), other.end(0)]
    assert is_nocow(images / "b.raw")
    assert sum("done meanwhile" in out for out in told) == 1
    assert sum(f"done   image {images}/b.raw" in out for out in told) == 1
    assert beside(images) == []


def test_the_configuration_is_read_again_before_each(host: World, images: Path):
    with holding(images / "b.raw") as holder, waiting(host) as run_:
        run_.see("waiting for image")
        host.nocow(images, existing="keep")
        let_go(holder)
        out = run_.end(0)
    assert f"not declared any more: image {images}/b.raw" in out
    assert not is_nocow(images / "b.raw")


def test_one_that_is_wrong_by_now_ends_the_wait(host: World, images: Path):
    with holding(images / "b.raw") as holder, waiting(host) as run_:
        run_.see("waiting for image")
        host.config("paths: 7\n")
        let_go(holder)
        run_.end(1)
    assert f"no longer waiting; 1 left: image {images}/b.raw" in run_.seen
    assert "vmtune.yaml:2:8" in run_.seen
    assert not is_nocow(images / "b.raw")


def test_what_stands_in_the_way_besides_is_told_and_ends_no_other_wait(host: World, images: Path):
    with (
        holding(images / "b.raw") as one,
        holding(images / "c.raw") as other,
        waiting(host) as run_,
    ):
        run_.see("waiting for image")
        os.link(images / "b.raw", host.area / "second")
        let_go(one)
        run_.see(f"waiting for image {images}/c.raw")
        let_go(other)
        out = run_.end(7)
    assert f"image {images}/b.raw" in out
    assert "more than one name" in out
    assert "2 of 3 read back as planned" in out
    assert is_nocow(images / "c.raw")


def test_a_directory_that_is_used_becomes_a_subvolume_once_it_is_not(host: World):
    """A kind of its own: the wait knows none."""
    top = host.area / "vm"
    top.mkdir()
    written(top / "a.raw", MIB)
    host.declare(paths=[{"path": str(top), "subvolume": True}])
    with holding(top / "a.raw") as holder, waiting(host) as run_:
        run_.see("waiting for ")
        assert top.stat().st_ino != 256
        let_go(holder)
        run_.end(0)
    assert top.stat().st_ino == 256
    host.plan()


@pytest.mark.parametrize("text", ["", "2", "h", "2 h", "-3s", "1.5h", "2h30", "two"])
def test_what_is_no_time_is_a_mistake_of_usage(host: World, text: str):
    ran = host.vmtune("apply", "--wait-for", text)
    assert ran.code == 64, ran
    assert "write 2h, 90m, 30s" in ran.err
    assert not records()


def test_with_a_saved_plan_it_is_one_too(host: World, images: Path):
    file = host.area / "plan.json"
    host.vmtune("plan", "-o", str(file))
    ran = host.vmtune("apply", "--wait", str(file))
    assert ran.code == 64, ran
    assert not is_nocow(images / "a.raw")


def test_where_nothing_is_in_use_it_is_a_plain_apply(host: World, images: Path):
    assert not is_nocow(images / "a.raw")
    ran = host.vmtune("apply", "--yes", "--wait")
    assert ran.code == 0, ran
    assert "1 of 1 read back as planned" in ran.out
    assert "waiting" not in ran.err
    assert host.vmtune("apply", "--yes", "--wait").code == 0
    assert len(records()) == 1
