"""What --json prints: real output, held to the schemas that others rely on."""

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from referencing import Registry, Resource

from tests import patience
from tests.btrfs.each import Each, records
from tests.btrfs.outside import sync
from tests.btrfs.sandbox import PROGRAM, TOP
from tests.btrfs.world import NOBODY, Ran, World

SCHEMAS = Path(__file__).parents[3] / "schemas"
PLAN = TOP / "t" / "saved"
WITHOUT = ("created", "machine", "kernel")


@pytest.fixture
def each(host: World) -> Each:
    return Each(host)


def check(name: str, data: Any) -> None:
    """Against schemas/<name>.schema.json, which may refer to another one."""
    read = {path.name: json.loads(path.read_text()) for path in SCHEMAS.iterdir()}
    known = Registry().with_resources(
        (file, Resource.from_contents(schema)) for file, schema in read.items()
    )
    schema = read[f"{name}.schema.json"]
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema, registry=known).validate(data)
    assert data.keys() <= schema.get("properties", data).keys(), "a field that no schema has"


def lines(ran: Ran) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in ran.out.splitlines()]
    for line in found:
        check("events", line)
        if line.get("event") == "plan":
            check("plan", line["document"])
    return found


def names(found: list[dict[str, Any]]) -> list[str]:
    return [line.get("event", "error") for line in found]


def test_a_plan_is_one_document(each: Each):
    ran = each.host.vmtune("plan", "--json", "-o", str(PLAN))
    data = json.loads(ran.out)
    check("plan", data)
    assert len(data["actions"]) == 7
    assert json.loads(PLAN.read_text()) == data
    shown = each.host.vmtune("show", "--json", str(PLAN))
    assert json.loads(shown.out) == data


@pytest.mark.parametrize("user", [0, NOBODY])
def test_every_sort_of_row_is_in_the_schema(each: Each, user: int):
    """Blocked, unknown, in sync, not applicable."""
    (each.old / "image.raw").unlink(missing_ok=True)
    disk = each.host.area / "cow"
    disk.mkdir()
    (disk / "disk.raw").write_bytes(os.urandom(1 << 16))
    (disk / "closed").mkdir(mode=0o700)
    sync()
    each.declare(
        paths=[{"path": str(path), "nocow": True} for path in (disk, Path("/proc/vm"))],
        mounts=[{"target": "/nowhere", "options": {"compress": "no"}}],
    )
    data = json.loads(each.host.vmtune("plan", "--json", user=user).out)
    check("plan", data)
    assert {change["op"] for change in data["changes"]} >= {"!", "+"}
    assert not all(change["applicable"] for change in data["changes"])


def test_the_status_is_one_document(each: Each):
    """Before anything is done, and after; what it says of images is held in test_status_effect."""
    for code, runs in ((2, set()), (0, {1})):
        if runs:
            each.host.apply()
        ran = each.host.vmtune("status", "--json")
        data = json.loads(ran.out)
        check("status", data)
        assert (ran.code, data["exit"], data["config"]) == (code, code, str(each.host.file))
        assert all(change["op"] == "=" for change in data["changes"]) is (code == 0)
        assert {place["written"]["run"] for place in data["places"] if place["written"]} == runs
        assert not any(place["drift"] for place in data["places"])
    check("status", json.loads(each.host.vmtune("status", "--json", user=NOBODY).out))


def test_the_history_is_one_document(each: Each):
    check("history", json.loads(each.host.vmtune("history", "--json").out))
    each.host.declare(paths=[{"path": str(each.old), "nocow": True, "existing": "rewrite"}])
    (each.old / "disk.raw").write_bytes(os.urandom(1 << 20))
    sync()
    each.host.apply()
    each.declare()
    each.host.apply()
    assert each.host.vmtune("revert", "--yes").code == 0
    for user in (0, NOBODY):
        ran = each.host.vmtune("history", "--json", user=user)
        data = json.loads(ran.out)
        check("history", data)
        first, second, third = data["runs"]
        assert (first["command"], first["config"], first["result"]) == (
            *("apply", str(each.host.file), "done"),
        )
        assert first["images"]["rewritten"] == 1
        assert {(c["kind"], c["name"]) for c in first["changes"]} == {
            *(("nocow", str(each.old)), ("images", str(each.old))),
        }
        assert second["images"] is None
        cron = next(c for c in second["changes"] if c["kind"] == "defrag")
        assert cron["before"] is None
        assert cron["after"].startswith("# Made by vmtune")
        assert third["command"] == "revert 2"
        one = json.loads(each.host.vmtune("history", "2", "--json", user=user).out)
        assert one["runs"] == [second]
    unknown = each.host.vmtune("history", "9", "--json")
    check("error", json.loads(unknown.out))
    assert unknown.code == 1
    said = each.host.vmtune("history").out
    assert f"config {each.host.file}" in said
    assert f"nocow {each.old}, images {each.old}" in said


def test_seeds_change_nothing(each: Each):
    plans = {
        json.dumps({k: v for k, v in json.loads(ran.out).items() if k not in WITHOUT})
        for seed in ("0", "1", "4711")
        if (ran := each.host.vmtune("plan", "--json", env={"PYTHONHASHSEED": seed}))
    }
    assert len(plans) == 1


def test_what_happens_is_told_line_by_line(each: Each):
    found = lines(each.host.vmtune("apply", "--yes", "--json"))
    assert names(found) == ["plan", *["begin", "end"] * 7, "verified", "exit"]
    assert found[-1]["code"] == 0
    rows = found[0]["document"]["summary"]["changes"]
    assert found[-2] == {"event": "verified", "held": rows, "of": rows}
    ends = [line for line in found if line.get("event") == "end"]
    assert {line["steps"] for line in ends} == {rows}
    assert {line["step"] for line in ends} == set(range(1, rows + 1))
    named = {(row["kind"], row["name"], row["path"]) for row in found[0]["document"]["changes"]}
    assert {(line["kind"], line["entry"], line["path"]) for line in ends} <= named
    done = [line["action"] for line in found if line.get("event") == "begin"]
    assert done == found[0]["document"]["actions"]
    assert names(lines(each.host.vmtune("apply", "--yes", "--json"))) == ["plan", "exit"]


def test_a_saved_plan_tells_too(each: Each):
    each.host.vmtune("plan", "-o", str(PLAN))
    found = lines(each.host.vmtune("apply", "--json", str(PLAN)))
    assert names(found) == [*["begin", "end"] * 7, "verified", "exit"]


def test_stale_is_told_fact_by_fact(each: Each):
    each.host.vmtune("plan", "-o", str(PLAN))
    each.host.fstab(each.line.format("compress=lzo,x-mine"))
    each.old.chmod(0o700)
    ran = each.host.vmtune("apply", "--json", str(PLAN))
    assert ran.code == 5
    found = lines(ran)
    assert names(found) == ["error", "exit"]
    assert len(found[0]["problems"]) == 2
    assert all("planned on" in problem["message"] for problem in found[0]["problems"])


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["plan", "--json", "-o", "/nowhere/plan"], 1),
        (["apply", "--json"], 1),
        (["show", "--json", "/nowhere"], 1),
        (["apply", "--json", "/nowhere"], 64),
        (["--host", "elsewhere", "apply", "--json", "--yes"], 1),
    ],
)
def test_a_failure_is_json_too(each: Each, arguments: list[str], code: int):
    ran = each.host.vmtune(*arguments)
    assert ran.code == code, ran
    if "apply" in arguments:
        found = lines(ran)
        assert names(found)[-2:] == ["error", "exit"]
        assert found[-1]["code"] == code
    else:
        check("error", json.loads(ran.out))
    assert ran.err.startswith("vmtune: ")


def test_problems_of_the_configuration_have_their_place(each: Each):
    each.host.config("pathz: []\nmounts: [{}]\n")
    ran = each.host.vmtune("plan", "--json")
    assert ran.code == 1
    data = json.loads(ran.out)
    check("error", data)
    assert len(data["problems"]) >= 2
    assert data["problems"][0]["line"] == 2


@pytest.mark.parametrize("effect", ["error=EIO", "signal=INT"])
def test_stopped_part_way_is_json_to_the_end(each: Each, effect: str):
    under = ["strace", "-qq", "-o", "/dev/null", "-e", f"inject=fspick:{effect}:when=1"]
    ran = each.host.vmtune("apply", "--yes", "--json", under=under)
    found = lines(ran)
    assert found[-1] == {"event": "exit", "code": ran.code}
    assert ran.code == (3 if "EIO" in effect else 130)
    assert "error" in names(found)


# --- signals, and nobody listening


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_it_works_ends_after_the_running_action(each: Each, number: signal.Signals):
    """Sent while the second action waits for the disk."""
    slow = ["strace", "-qq", "-o", "/dev/null", "-e", "inject=fsync:delay_enter=100000"]
    process = each.host.start("apply", "--yes", "--json", under=slow)
    assert process.stdout
    seen: list[str] = []
    while sum('"begin"' in line for line in seen) < 2:
        seen.append(process.stdout.readline())
        assert seen[-1], seen
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(children[0]), number)
    out, err = process.communicate(timeout=patience.SECONDS)
    assert process.returncode == 130, err
    found = [json.loads(line) for line in [*seen, *out.splitlines()] if line]
    assert names(found)[:6] == ["plan", "begin", "end", "begin", "end", "error"]
    assert found[4]["outcome"] == "done"
    assert len([line for line in err.splitlines() if "not done" in line]) == 5
    (record,) = records()
    assert record[-1]["result"] == "interrupted"
    assert [event["begin"] for event in record if "begin" in event] == [1, 2]
    each.host.apply()
    assert each.is_done()


def test_a_refused_sudo_is_told_to_whoever_reads_the_events(each: Each):
    ran = each.host.vmtune(
        "apply", "--json", "--yes", user=NOBODY, env={"VMTUNE_SUDO": "/bin/false"}
    )
    assert ran.code == 1, ran
    found = lines(ran)
    assert names(found) == ["plan", "root", "error", "exit"]
    assert "false ended with 1 before vmtune ran; nothing was changed" in str(found[2])
    assert found[3]["code"] == 1
    assert each.is_untouched()


def test_so_is_one_that_ends_while_root_is_at_work(each: Each):
    program = TOP / "t" / "sudo"
    program.write_text(
        '#!/bin/sh\necho \'{"event": "verified", "held": 1, "of": 2}\'; echo hello; kill -9 $$\n'
    )
    program.chmod(0o755)
    ran = each.host.vmtune(
        "apply", "--json", "--yes", user=NOBODY, env={"VMTUNE_SUDO": str(program)}
    )
    assert ran.code == 3, ran
    assert names(lines(ran)) == ["plan", "root", "verified", "error", "exit"]
    assert "\nhello\n" in ran.err
    assert "sudo ended with 137 while vmtune ran" in ran.err


def test_a_signal_after_the_last_action_does_not_deny_it(each: Each):
    """While everything is written out and read back, there is nothing to stop any more."""
    under = ["strace", "-qq", "-o", "/dev/null", "-e", "inject=syncfs:signal=INT:when=1"]
    ran = each.host.apply(under=under)
    assert "nothing was changed" not in ran.err
    assert records()[0][-1]["result"] == "done"
    assert each.is_done()


def test_work_goes_on_when_nobody_listens_any_more(each: Each):
    """A pager that ends is no reason to stop half way."""
    process = each.host.start("apply", "--yes", "--json")
    assert process.stdout
    assert '"plan"' in process.stdout.readline()
    process.stdout.close()
    process.stdout = None
    assert process.communicate(timeout=patience.SECONDS)
    assert process.returncode == 0
    assert each.is_done()
    assert records()[0][-1]["result"] == "done"


def test_an_answer_that_cannot_be_written_is_said(each: Each):
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run(
            [*PROGRAM, "--config", each.host.file, "plan"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            cwd="/",
        )
    assert done.returncode == 1
    assert done.stderr == "vmtune: the answer cannot be written: No space left on device\n"


# --- also when something goes wrong outside of a command

# A fault of vmtune itself, in the planner.
FAULTY = """
import sys
from reconciler.cli import run
from reconciler.engine import plan

def odd(*_, **_named):
    raise ZeroDivisionError("odd")

plan.in_order = odd
sys.exit(run(sys.argv[1:]))
"""


def one_document(ran: Ran) -> str:
    data = json.loads(ran.out)
    check("error", data)
    return str(data["problems"][0]["message"])


@pytest.mark.parametrize(
    "arguments",
    [
        ["plan", "--json", "--bogus"],
        ["plan", "--json", "extra"],
        ["show", "--json"],
        ["status", "--json", "--html"],
        ["doctor", "--json", "--allow"],
        ["measure", "--json"],
        ["pln", "--json"],
    ],
)
def test_a_wrong_command_line_is_json_too(each: Each, arguments: list[str]):
    ran = each.host.vmtune(*arguments)
    assert ran.code == 64, ran
    assert one_document(ran) in ran.err


@pytest.mark.parametrize("command", ["apply", "defrag"])
def test_so_it_is_where_events_are_told(each: Each, command: str):
    ran = each.host.vmtune(command, "--json", "--bogus")
    assert ran.code == 64, ran
    found = lines(ran)
    assert names(found) == ["error", "exit"]
    assert found[-1]["code"] == 64


def test_a_page_that_cannot_be_written_is_the_one_answer(each: Each):
    for path in ("/proc/nope/x", str(each.host.file)):
        ran = each.host.vmtune("status", "--json", "--html", path)
        assert ran.code == 1, ran
        assert path in one_document(ran)
    page = TOP / "t" / "page.html"
    ran = each.host.vmtune("status", "--json", "--html", str(page))
    check("status", json.loads(ran.out))
    assert page.exists()


@pytest.mark.parametrize("command", ["plan", "status", "doctor"])
def test_an_interrupt_is_json_too(each: Each, command: str):
    under = [
        *("strace", "-qq", "-o", "/dev/null", "-P", "/etc/fstab"),
        *("-e", "inject=openat:signal=INT:when=1"),
    ]
    ran = each.host.vmtune(command, "--json", under=under)
    assert ran.code == 130, ran
    assert one_document(ran) == "interrupted; nothing was changed"


@pytest.mark.parametrize("command", ["plan", "status"])
def test_so_is_a_fault_of_vmtune(each: Each, command: str):
    words = ["--config", str(each.host.file), command, "--json"]
    done = subprocess.run(
        [PROGRAM[0], "-c", FAULTY, *words], capture_output=True, text=True, check=False, cwd="/"
    )
    assert done.returncode == 1
    ran = Ran(done.returncode, done.stdout, done.stderr)
    assert one_document(ran) == "this is a fault of vmtune: ZeroDivisionError: odd"


def test_an_interrupt_at_the_question_ends_the_events(each: Each):
    with each.host.typed("apply", "--json") as typed:
        typed.see("Only `yes` does it: ")
        typed.type("\x03")
        assert typed.end() == 130, typed.screen
    told = [line[line.index("{") :] for line in typed.screen.splitlines() if "{" in line]
    found = [json.loads(line) for line in told]
    for line in found:
        check("events", line)
    assert names(found) == ["plan", "error", "exit"]
    assert found[-1]["code"] == 130
    assert each.is_untouched()


def test_a_fault_ends_them_too(each: Each):
    words = ["--config", str(each.host.file), "apply", "--json", "--yes"]
    done = subprocess.run(
        [PROGRAM[0], "-c", FAULTY, *words], capture_output=True, text=True, check=False, cwd="/"
    )
    found = lines(Ran(done.returncode, done.stdout, done.stderr))
    assert names(found) == ["error", "exit"]
    assert found[-1]["code"] == done.returncode == 1
