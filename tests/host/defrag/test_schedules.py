"""Schedules that vmtune makes: timers and cron jobs that really run, move, change and go."""

import functools
import re

import pytest

from tests.host import installed, sandbox, wheels
from tests.host.installed import Root
from tests.oracles import oracle

FRAGMENT = """
import os, sys
path = sys.argv[1]
os.makedirs(os.path.dirname(path), exist_ok=True)
fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
os.write(fd, os.urandom(1 << 21)); os.fsync(fd)
for at in range(0, 1 << 21, 1 << 17):
    os.pwrite(fd, os.urandom(4096), at); os.fsync(fd)
"""

ODD = [
    "/home/alice/libvirt/images",
    "/home/alice/two words",
    "/srv/100%q",
    "/srv/5$ and $$",
    "/srv/\"double\" and 'single'",
    "/srv/Ünïcödé 虚拟机",
    "/srv/back\\slash",
    "/srv/%% %n ;#{}[]*?&|<>()!~`",
    "/srv/-t 1",
    "/root/own",
]
BY_CRON = [path.replace("/srv/", "/srv/cron/") for path in ODD if path.startswith("/srv")]


def entry(path, schedule, scheduler="auto"):
    quoted = '"' + path.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return f'  - {{path: {quoted}, schedule: "{schedule}", scheduler: {scheduler}}}\n'


def extents(host, path):
    return int(host.run(["filefrag", path]).stdout.split(": ")[-1].split()[0])


def files(host):
    """The files that vmtune made for a test, and the links that enable its timers."""
    argv = "find /etc/systemd/system /etc/cron.d -name 'vmtune*' ! -name '*srv-cron*' | sort"
    return host.run(argv).stdout.splitlines()


def dangling(host):
    return host.run(["find", "/etc/systemd/system", "-xtype", "l"]).stdout


def unit_of(root, path, kind="timer"):
    """The one unit of vmtune's that names a path."""
    return installed.unit_of(root.container, path, kind)


def fragmented(host, path):
    """Makes a file of alice's, 0600, in many pieces; the result is how many."""
    host.run(["python3", "-c", FRAGMENT, f"{path}/disk.img"])
    host.run(["chown", "alice:alice", f"{path}/disk.img"])
    return extents(host, f"{path}/disk.img")


ONCE = "/srv/cron/once"


class Schedules(Root):
    """Besides what a test declares there are cron jobs that run each minute, for the last tests.

    One more runs once, a few minutes after this file began.
    """

    @functools.cached_property
    def once(self):
        return self.container.run(["date", "-d", "3 minutes", "+%M %H %d %m *"]).stdout.strip()

    @functools.cached_property
    def told_once(self):
        return told(self, ONCE, "cron")

    def forget_once(self):
        """Have it run a few minutes from now."""
        del self.once, self.told_once
        self.apply("")
        assert self.told_once

    def declare(self, text):
        lines = [entry(path, "* * * * *", "cron") for path in BY_CRON]
        super().declare("defrag:\n" + "".join(lines) + entry(ONCE, self.once, "cron") + text)


@pytest.fixture(scope="module")
def root(container, wheelhouse):
    """Timers are punctual here: with the default of one minute each test would wait for one."""
    wheels.install(container, wheelhouse)
    container.write("/etc/systemd/system.conf.d/t.conf", b"[Manager]\nDefaultTimerAccuracySec=1ms")
    container.run("systemctl daemon-reexec")
    assert min(fragmented(container, path) for path in BY_CRON) > 10
    container.run(["mkdir", ONCE])
    root = Schedules(container)
    root.apply("")
    assert root.told_once
    return root


def told(root, path, scheduler):
    """When the plan says that the next run of a directory is, in the container's own time."""
    shown = " ".join(root.vmtune("plan", "-v", check=True).stdout.split())
    return re.search(rf"{path} next run \w+ (\S+ \S+), by {scheduler}", shown)[1]


@pytest.fixture
def clean(root):
    """A host where vmtune did nothing yet, and no unit failed."""
    yield root
    root.declare("")
    root.vmtune("apply", "--yes", check=True)
    assert files(root.container) == []
    assert not installed.failed(root.container)


@pytest.fixture(scope="module")
def fired(root):
    """Extents before and after the timers' runs, and what systemd says of these."""
    host = root.container
    before = {path: fragmented(host, path) for path in ODD}
    root.apply("".join(entry(path, "*:*:0/2", "systemd") for path in ODD))
    last = f"{ODD[-1]}/disk.img"
    sandbox.until("the timers", 20, lambda: extents(host, last) < before[ODD[-1]])
    sandbox.until("the runs", 20, lambda: not running(host))
    results = {
        installed.shown(host, unit, name)
        for unit in host.run("cd /etc/systemd/system && ls vmtune*.service").stdout.split()
        for name in ("Result", "ExecMainStatus")
    }
    after = {path: extents(host, f"{path}/disk.img") for path in ODD}
    failed = installed.failed(host)
    root.apply("")
    return before, after, results, failed


def running(host):
    return host.run("systemctl list-units --state=activating --plain --no-legend").stdout


@pytest.mark.parametrize("path", ODD)
def test_a_timer_defragments(fired, path):
    before, after, _, _ = fired
    assert before[path] > 10
    assert after[path] < 3


def test_the_hardened_service_succeeds(fired):
    _, _, results, failed = fired
    assert results == {"success", "0"}
    assert not failed


DAILY = entry("/srv/vm", "0 3 * * *", "systemd")
BY = "  - {path: /srv/vm, schedule: '0 3 * * *', scheduler: %s}"


def test_a_changed_schedule_moves_the_next_run(clean):
    clean.apply(DAILY)
    timer = unit_of(clean, "/srv/vm")
    assert " 03:00:00 " in installed.shown(clean.container, timer, "NextElapseUSecRealtime")
    clean.apply(DAILY.replace("0 3", "30 4"))
    assert " 04:30:00 " in installed.shown(clean.container, timer, "NextElapseUSecRealtime")


@pytest.mark.parametrize(
    ("schedule", "calendar"),
    [
        ("@daily", ["*-*-* 00:00:00"]),
        ("0 3 1 * 1", ["*-*-01 03:00:00", "Mon *-*-* 03:00:00"]),
        ("*/20 0 * * *", ["*-*-* 00:00..40/20:00"]),
        ("Sat 02:00", ["Sat *-*-* 02:00:00"]),
    ],
)
@oracle("systemctl", "next run {}, by systemd")
def test_systemd_holds_the_calendar_that_was_meant(clean, schedule, calendar):
    clean.apply(f'  - {{path: /srv/vm, schedule: "{schedule}"}}')
    host, timer = clean.container, unit_of(clean, "/srv/vm")
    held = installed.shown(host, timer, "TimersCalendar")

    def normal(expression):
        shown = host.run(["systemd-analyze", "calendar", expression]).stdout
        return shown.partition("Normalized form: ")[2].splitlines()[0]

    assert held.count("OnCalendar=") == len(calendar)
    for expression in calendar:
        assert f"OnCalendar={normal(expression)} ;" in held
    elapses = installed.shown(host, timer, "NextElapseUSecRealtime")
    assert f" {told(clean, '/srv/vm', 'systemd')}:00 " in elapses


def test_from_systemd_to_cron_and_back(clean):
    host = clean.container
    clean.apply(BY % "systemd")
    by_systemd = files(host)
    assert [name.rpartition(".")[2] for name in by_systemd] == ["timer", "service", "timer"]
    clean.apply(BY % "cron")
    [by_cron] = files(host)
    assert by_cron.startswith("/etc/cron.d/")
    assert host.run(["stat", "-c", "%U:%G %a", by_cron]).stdout == "root:root 644\n"
    assert not dangling(host)
    assert "vmtune" not in host.run("systemctl list-units --all --plain --no-legend").stdout
    clean.apply(BY % "systemd")
    assert files(host) == by_systemd
    assert not dangling(host)


def test_a_removed_entry_leaves_nothing(clean):
    host = clean.container
    before = installed.state(host, "/etc/cron.d")[1:]
    clean.apply(DAILY)
    assert len(files(host)) == 3
    clean.apply("")
    assert files(host) == []
    assert not dangling(host)
    assert installed.state(host, "/etc/cron.d")[1:] == before
    assert not host.run("find /var/lib/systemd/timers -name '*vmtune*'").stdout


def test_a_removed_entry_goes_also_without_the_journal(clean):
    clean.apply(DAILY)
    clean.container.run("rm -r /var/lib/vmtune")
    clean.apply("")
    assert files(clean.container) == []


def test_a_removed_entry_leaves_no_failed_unit(clean):
    clean.apply(entry("/srv/not there", "*:*:0/1", "systemd"))
    host = clean.container
    sandbox.until("the run to fail", 10, lambda: "vmtune" in installed.failed(host))
    clean.apply("")
    assert installed.failed(host) == ""


DAMAGES = {
    "the timer edited": "sed -i s/03:00/05:00/ /etc/systemd/system/vmtune*.timer",
    "the service edited": "sed -i s/-f// /etc/systemd/system/vmtune*.service",
    "the timer deleted": "rm /etc/systemd/system/vmtune*.timer; systemctl daemon-reload",
    "the timer stopped": "systemctl stop 'vmtune*.timer'",
    "the timer disabled": "systemctl disable $(basename /etc/systemd/system/vmtune*.timer)",
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_drift_is_seen_and_ended(clean, damage):
    clean.apply(DAILY)
    timer = unit_of(clean, "/srv/vm")
    files = [name for name in installed.state(clean.container, "/etc/systemd") if len(name) > 64]
    clean.container.run(damage)
    assert clean.differs()
    clean.apply(DAILY)
    assert " 03:00:00 " in installed.shown(clean.container, timer, "NextElapseUSecRealtime")
    assert installed.shown(clean.container, timer, "ActiveState") == "active"
    assert installed.shown(clean.container, timer, "UnitFileState") == "enabled"
    sums = [x for x in files if "vmtune" in x and x.split()[0].isalnum()]
    assert set(sums) <= set(installed.state(clean.container, "/etc/systemd"))


@oracle("systemctl", "systemd says that files changed on disk since it read them")
def test_a_reload_alone_is_noticed_shown_and_done(clean):
    """Whoever writes the same text again has systemd hold a file that is no longer there."""
    clean.apply(DAILY)
    timer = unit_of(clean, "/srv/vm")
    clean.container.run("touch /etc/systemd/system/vmtune*.timer")
    assert installed.shown(clean.container, timer, "NeedDaemonReload") == "yes"
    shown = clean.vmtune("plan", "--detailed-exitcode")
    assert shown.returncode == 2
    assert "1 to change" in shown.stdout
    assert "~ systemd " in shown.stdout
    assert "reads its unit files again" in shown.stdout
    assert "systemd says that files changed on disk since it read them" in shown.stdout
    clean.apply(DAILY)
    assert installed.shown(clean.container, timer, "NeedDaemonReload") == "no"


def test_a_host_where_no_timer_is_enabled(clean):
    """A plan has no need of one, though systemctl fails where it lists nothing."""
    host = clean.container
    listed = "systemctl list-unit-files --type=timer --state=enabled --no-legend --plain"
    enabled = [line.split()[0] for line in host.run(listed).stdout.splitlines()]
    host.run(["systemctl", "disable", *enabled])
    try:
        assert not host.run(listed, check=False).stdout
        clean.apply(DAILY)
    finally:
        host.run(["systemctl", "enable", *enabled])


UNSPEAKABLE = {
    "a newline, by a link": (
        "ln -s '/srv/a\nb' /srv/link && mkdir '/srv/a\nb'",
        "/srv/link",
        "auto",
    ),
    "no UTF-8": ("ln -s '/srv/a\udcffb' /srv/latin && mkdir '/srv/a\udcffb'", "/srv/latin", "auto"),
    "a blank at its end": ("true", "/srv/blank ", "systemd"),
    "too long for cron": ("true", "/srv/" + "/".join(["long" * 60] * 5), "cron"),
}


@pytest.mark.parametrize(("command", "path", "scheduler"), UNSPEAKABLE.values(), ids=UNSPEAKABLE)
def test_a_path_that_no_scheduler_can_hold_is_refused(clean, command, path, scheduler):
    clean.container.run(command)
    clean.declare(entry(path, "@daily", scheduler) + entry("/srv/vm", "@daily"))
    done = clean.vmtune("apply", "--yes")
    assert "fault" not in done.stderr
    assert done.returncode == 7
    assert "1 refused" in done.stdout
    assert len(files(clean.container)) == 3


def test_blanks_around_a_schedule(clean):
    clean.apply('  - {path: /srv/vm, schedule: " @daily "}')


def test_the_how_tos_own_cron_line_is_refused(clean):
    host = clean.container
    line = "0 12 * * * btrfs filesystem defragment -r ~/libvirt/images\n"
    host.run(["crontab", "-u", "alice", "-"], input=f"# mine\n{line}")
    spool = "/var/spool/cron/crontabs/alice"
    number = host.read(spool).decode().splitlines().index(line.strip()) + 1
    clean.declare(entry("/home/alice/libvirt/images", "@daily"))
    before = installed.state(host, "/etc", "/var/spool")
    done = clean.vmtune("apply", "--yes")
    assert done.returncode == 7
    assert f"{spool}:{number} already defragments there" in " ".join(done.stdout.split())
    assert "V305" in done.stdout
    assert installed.state(host, "/etc", "/var/spool") == before
    host.run("crontab -u alice -r")
    clean.apply(entry("/home/alice/libvirt/images", "@daily"))


@pytest.mark.parametrize("schedule", ["Fri..Mon 25:00", "dayly", "2001-01-01 03:00", "12:00 %n"])
@oracle("systemd-analyze", "V304")
def test_a_date_that_systemd_refuses_names_its_line(clean, schedule):
    """Nothing reads OnCalendar but systemd: what `validate` lets through the plan refuses."""
    clean.declare(entry("/srv/vm", schedule, "systemd"))
    assert clean.vmtune("validate").returncode == 0
    done = clean.vmtune("apply", "--yes")
    shown = " ".join(done.stdout.split())
    assert done.returncode == 7
    assert f"vmtune.yaml:{len(BY_CRON) + 4}:" in shown
    assert "systemd finds no run in the schedule: " in shown
    assert "V304" in shown
    assert files(clean.container) == []
    judged = clean.container.run(["systemd-analyze", "calendar", "--", schedule], check=False)
    assert judged.returncode or "Next elapse: never" in judged.stdout


def unit(host, name, start, more=""):
    """A service of somebody else's, and its timer."""
    host.write(
        f"/etc/systemd/system/{name}.service",
        f"[Service]\nType=oneshot\nExecStart={start}\n".encode(),
        mode="644",
    )
    text = f"[Timer]\nOnCalendar=Sun 04:00\n{more}[Install]\nWantedBy=timers.target\n"
    host.write(f"/etc/systemd/system/{name}.timer", text.encode(), mode="644")


STARTED = {
    "the program": "/usr/bin/btrfs filesystem defragment -r '/srv/two words'",
    "a shell": "/bin/sh -c 'cd /srv; exec btrfs fi defrag -r \"two words\"'",
    "a script": "/usr/local/sbin/defrag-vms",
    "btrfsmaintenance": "/usr/share/btrfsmaintenance/btrfs-defrag.sh",
}
SCRIPTS = {
    "/usr/local/sbin/defrag-vms": "#!/bin/sh\nbtrfs filesystem defragment -r '/srv/two words'\n",
    "/usr/share/btrfsmaintenance/btrfs-defrag.sh": "#!/bin/sh\nfor P in $BTRFS_DEFRAG_PATHS; do\n"
    'find "$P" -xdev -exec btrfs filesystem defrag -f {} \\;\ndone\n',
    "/etc/default/btrfsmaintenance": "BTRFS_DEFRAG_PATHS='/srv/two words'\n",
}


@pytest.mark.parametrize("start", STARTED.values(), ids=STARTED)
@pytest.mark.parametrize("how", ["enable", "start"])
@oracle("systemctl", "V305", "V530: defragments it")
def test_a_timer_of_somebody_else_is_named_and_not_doubled(clean, start, how):
    """Enabled for the next boot, or only started now; whatever its service runs."""
    host = clean.container
    host.run(["mkdir", "-p", "/srv/two words"])
    for path, text in SCRIPTS.items():
        host.run(["mkdir", "-p", path.rpartition("/")[0]])
        host.write(path, text.encode(), mode="755")
    unit(host, "other", start)
    host.run(f"systemctl daemon-reload; systemctl {how} other.timer")
    clean.declare(entry("/srv/two words", "@daily"))
    try:
        done = clean.vmtune("apply", "--yes")
        shown = " ".join(done.stdout.split())
        assert done.returncode == 7
        assert "other.timer already defragments there: Sun *-*-* 04:00:00" in shown
        assert "V305" in shown
        assert "`systemctl disable --now other.timer`" in shown or "BTRFS_DEFRAG_PATHS" in shown
        assert files(host) == []
        doctor = clean.vmtune("doctor")
        assert doctor.returncode == 1
        assert "other.timer defragments it" in " ".join(doctor.stdout.split())
        assert "other.timer" in clean.vmtune("init").stdout
    finally:
        host.run("systemctl disable --now other.timer; rm /etc/systemd/system/other.*")
        host.run(["rm", *SCRIPTS])
        host.run("systemctl daemon-reload")
    clean.apply(entry("/srv/two words", "@daily"))


def test_a_timer_that_nobody_starts_is_let_be(clean):
    unit(clean.container, "other", "/usr/bin/btrfs filesystem defragment -r /srv/vm")
    clean.container.run("systemctl daemon-reload")
    clean.apply(DAILY)
    clean.container.run("rm /etc/systemd/system/other.*; systemctl daemon-reload")


def test_systemd_cron_counts_as_a_cron_daemon(clean):
    """It is a generator of timers, and no process: cron.target starts what it made."""
    host = clean.container
    generator = "/etc/systemd/system-generators/systemd-crontab-generator"
    clean.apply(BY % "cron")
    host.run("systemctl stop cron")
    try:
        assert "V310" in clean.vmtune("plan").stdout
        host.run("mkdir -p /etc/systemd/system-generators")
        host.write(generator, b"#!/bin/sh\n", mode="755")
        host.write("/etc/systemd/system/cron.target", b"[Unit]\nDescription=cron\n", mode="644")
        host.run("systemctl daemon-reload; systemctl start cron.target")
        assert "V310" not in clean.vmtune("plan").stdout
        assert "systemd and cron running" in clean.vmtune("doctor").stdout
    finally:
        host.run(f"systemctl stop cron.target; rm -f {generator} /etc/systemd/system/cron.target")
        host.run("systemctl daemon-reload; systemctl start cron")


def test_a_run_by_systemd_is_skipped_while_anything_is_shared(clean):
    """Where others may write to the installation, root's job is btrfs-progs behind a guard."""
    host, image = clean.container, "/srv/guarded/disk.img"
    host.run("chmod o+w /opt/vmtune")
    try:
        before = fragmented(host, "/srv/guarded")
        clean.apply(entry("/srv/guarded", "0 3 * * 0", "systemd"))
        service = unit_of(clean, "/srv/guarded", "service")
        host.run(f"sync; cp --reflink=always {image} /srv/clone.img; sync")
        host.run(["systemctl", "start", service])
        assert installed.shown(host, service, "Result") == "exec-condition"
        assert not installed.failed(host)
        assert extents(host, image) == before
        said = host.run(["journalctl", "-o", "cat", "-u", service]).stdout
        assert "/srv/guarded: run skipped. Bytes that snapshots or clones share: 2097152" in said
        told = " ".join(clean.vmtune("status").stdout.split())
        assert "the last start was skipped: snapshots or clones share data there" in told
        host.run("rm /srv/clone.img; sync")
        host.run(["systemctl", "start", service])
        assert extents(host, image) < 3
    finally:
        host.run("chmod o-w /opt/vmtune; rm -rf /srv/guarded")


def test_vmtunes_own_job_leaves_what_is_shared(clean):
    host = clean.container
    before = fragmented(host, "/srv/own/shared")
    assert fragmented(host, "/srv/own/alone") > 10
    host.run("sync; cp --reflink=always /srv/own/shared/disk.img /srv/clone.img; sync")
    clean.apply(entry("/srv/own", "0 3 * * 0", "systemd"))
    service = unit_of(clean, "/srv/own", "service")
    assert "/opt/vmtune" in installed.shown(host, service, "ExecStart")
    host.run(["systemctl", "start", service])
    assert installed.shown(host, service, "Result") == "success"
    assert extents(host, "/srv/own/shared/disk.img") == before
    assert extents(host, "/srv/own/alone/disk.img") < 3
    assert "shared/disk.img: left: shared" in host.run(["journalctl", "-u", service]).stdout
    host.run("rm -r /srv/own /srv/clone.img")


@pytest.mark.parametrize("path", BY_CRON)
def test_cron_defragments(root, path):
    """Last in this file, as cron needs up to a minute and has been at it all the time."""
    sandbox.until("cron", 80, lambda: extents(root.container, f"{path}/disk.img") < 3)


@oracle("journalctl", "next run {}, by cron")
def test_cron_runs_when_the_plan_said(root):
    """Cron itself writes down each job that it starts."""
    argv = ["journalctl", "--identifier=CRON", "--output=short-iso", "--grep", ONCE]

    def runs():
        return root.container.run(argv, check=False).stdout.splitlines()

    if root.container.run(["date", "+%F %T"]).stdout > root.told_once and not runs():
        root.forget_once()  # a test above stopped cron, in this very minute
    sandbox.until("cron", 240, lambda: any("CMD" in line for line in runs()))
    (run,) = (line for line in runs() if "CMD" in line)
    assert run.startswith(root.told_once.replace(" ", "T"))
