"""What status knows of schedules, from a systemd that really ran them."""

import json
import re
import time

import pytest

from tests.host import installed, sandbox, wheels
from tests.host.installed import Root

PATH = "/srv/vm"
DECLARED = f'defrag:\n  - {{path: {PATH}, schedule: "0 12 * * *", scheduler: systemd}}'
SKIPPED = "[Unit]\nConditionPathExists=/nowhere\n"


@pytest.fixture(scope="module")
def root(container, wheelhouse):
    wheels.install(container, wheelhouse)
    container.run(["mkdir", "-p", PATH])
    return Root(container)


@pytest.fixture(scope="module")
def service(root):
    root.apply(DECLARED)
    [name] = root.container.run("ls /etc/systemd/system | grep 'vmtune.*service$'").stdout.split()
    return name


def schedule(root):
    [found] = json.loads(root.vmtune("status", "--json").stdout)["effect"]["schedules"]
    return found


def told_in_words(root):
    """Lines are wrapped, and words stay whole."""
    return " ".join(root.vmtune("status").stdout.split())


def test_before_the_first_run(root, service):
    told = schedule(root)
    following = installed.shown(root.container, service.replace("service", "timer"),
                                "NextElapseUSecRealtime")  # fmt: skip
    assert (told["scheduler"], told["last"], told["result"]) == ("systemd", "", "")
    assert told["seconds"] is None
    assert re.fullmatch(r"\w{3} \d{4}-\d\d-\d\d 12:00", told["next"])
    assert following.startswith(told["next"])
    assert "its timer has not run it yet; next" in told_in_words(root)


def test_a_stamp_is_no_run(root, service):
    """Made when the timer first starts, it is taken for a run when the timer starts again."""
    timer = service.replace("service", "timer")
    root.container.run(["systemctl", "stop", timer])
    root.container.run(["systemctl", "start", timer])
    assert installed.shown(root.container, timer, "LastTriggerUSec") not in {"", "n/a"}
    assert schedule(root)["last"] == ""
    assert "its timer has not run it yet; next" in told_in_words(root)
    stamp = f"/var/lib/systemd/timers/stamp-{timer}"
    made = int(root.container.run(["stat", "-c", "%W", stamp]).stdout)
    sandbox.until("the next second but one", 5, lambda: time.time() > made + 2)
    root.container.run(["touch", stamp])  # as the timer does at each run
    root.container.run(["systemctl", "restart", timer])
    assert schedule(root)["last"]


def test_a_run_that_went_well(root, service):
    root.container.run(["systemctl", "start", service])
    told = schedule(root)
    began = installed.shown(root.container, service, "ExecMainStartTimestamp")
    assert told["last"]
    assert began.startswith(told["last"])
    assert (told["result"], told["status"], told["failed"]) == ("success", 0, False)
    assert 0 <= told["seconds"] < 60
    assert "went well in" in told_in_words(root)


def test_a_run_that_failed(root, service):
    root.container.run(["mv", PATH, f"{PATH}.away"])
    root.container.run(["systemctl", "start", service], check=False)
    root.container.run(["mv", f"{PATH}.away", PATH])
    told = schedule(root)
    assert (told["result"], told["status"], told["failed"]) == ("exit-code", 1, True)
    assert told["unit"] == service
    ran = root.vmtune("status", check=True)  # nothing of what is declared differs
    above = " ".join(ran.stdout.partition("\n\n= ")[0].split())
    assert f"defrag {PATH}: the last run of {told['last']} failed with exit code 1" in above
    assert f"`journalctl --unit {service}` says why" in above
    document = json.loads(root.vmtune("status", "--json").stdout)
    assert [step["do"] for step in document["next"]] == [f"`journalctl --unit {service}` says why"]
    log = root.container.run(["journalctl", "--unit", service, "--output", "cat"]).stdout
    assert f"{PATH}" in log, "the log that is named does say why"
    short = root.vmtune("status", "--short").stdout
    command = "`vmtune --config /root/vmtune.yaml status`"
    assert short == f"vmtune: 1 schedule failed; {command} says what to do\n"


def test_a_run_that_was_skipped(root, service):
    root.container.run(["systemctl", "reset-failed", service])
    folder = f"/run/systemd/system/{service}.d"
    root.container.write(f"{folder}/skip.conf", SKIPPED.encode(), mode="644")
    root.container.run(["systemctl", "daemon-reload"])
    root.container.run(["systemctl", "start", service])
    assert schedule(root)["result"] == "skipped"
    assert "was skipped" in told_in_words(root)
    root.container.run(["rm", "-r", folder])
    root.container.run(["systemctl", "daemon-reload"])


@pytest.fixture
def several(root):
    """Two schedules by systemd, one by cron, one no longer declared, one that is new, a mount."""
    each = '  - {path: %s, schedule: "0 12 * * *", scheduler: %s}\n'
    old = [("/srv/a", "systemd"), ("/srv/b", "systemd"), ("/srv/c", "cron")]
    root.apply("defrag:\n" + "".join(each % one for one in [*old, ("/srv/d", "systemd")]))
    mounts = "mounts:\n  - {target: /, options: {noatime: true}}\n"
    root.declare(mounts + "defrag:\n" + "".join(each % o for o in [*old, ("/srv/e", "systemd")]))
    yield root
    root.apply(DECLARED)


@pytest.mark.parametrize("command", ["plan", "status"])
def test_systemctl_is_run_once(several, command):
    strace = ["strace", "-f", "-qq", "-e", "trace=execve", "-o", "/root/log"]
    argv = [*strace, installed.ROOTS, "--config", installed.CONFIG, command]
    told = several.container.run(argv, check=False).stdout
    log = several.container.run(["cat", "/root/log"]).stdout
    calls = re.findall(r'execve\("[^"]*/systemctl", \[(.*)\].*= 0$', log, re.MULTILINE)
    asked = [call for call in calls if "--property=Id,UnitFileState" in call]
    assert len(asked) == 1, told + log
    assert all(f"/srv/{name}" in told for name in "abce")
    assert "no longer declared" in told


def test_a_name_that_systemd_refuses_hides_no_other(several):
    """A mount point of 200 bytes, of which each is four in the name of its unit."""
    long = "/srv/" + "~" * 200
    refused = several.container.run(["systemctl", "show", f"{long}.mount"], check=False)
    text = several.container.run(["cat", installed.CONFIG]).stdout.partition("\n")[2]
    several.declare(
        text.replace(
            "mounts:\n", f"mounts:\n  - {{target: '{long}', options: {{noatime: true}}}}\n"
        )
    )
    rows = json.loads(several.vmtune("plan", "--json").stdout)["changes"]
    assert {row["name"]: row["op"] for row in rows}["/srv/a"] == "=", (rows, refused)


def test_the_manual_page_is_installed(root):
    found = root.container.run(["find", "/", "-xdev", "-name", "vmtune.1"]).stdout.split()
    assert any(path.endswith("/share/man/man1/vmtune.1") for path in found)
