"""The Debian package on a booted host: installed, used by alice through sudo, removed, purged.

The tests are one story, in the order in which they stand.
"""

import json
import re

import pytest

from tests.documents import ROOT, as_typed, blocks
from tests.host import installed

MONITORING = ROOT / "docs" / "monitoring.md"

VM = "/home/alice/vm"
CONFIG = "/home/alice/.config/vmtune/vmtune.yaml"
DECLARED = """version: 1
paths: [{path: ~/vm, nocow: true, allow: [snapshots]}]
mounts: [{target: /, options: {compress: no}}]
defrag:
  - {path: /srv/raw, schedule: "Sun 12:00"}
  - {path: /srv/cron, schedule: "0 12 * * 0", scheduler: cron}
"""
OTHERS = "raise SystemExit('another project of this name was imported')\n"
# Programs that start now and then while a host is up; not what a package leaves behind.
BESIDE = (
    "/proc",
    "/sys",
    "/dev",
    "/run",
    "/tmp",
    "/var/log",
    "/var/cache",
    "/var/lib/dpkg",
    "/root",
)


def named(host) -> list[str]:
    """All files of the host that bear the name, but homes and what apt and journald note."""
    prune = " -o ".join(f"-path {folder}" for folder in (*BESIDE, "/home"))
    found = f"find / \\( {prune} \\) -prune -o -name '*vmtune*' -print"
    return host.run(found).stdout.splitlines()


def test_it_is_installed_whole(host):
    files = host.run(["dpkg", "--listfiles", "vmtune"]).stdout.splitlines()
    for name in (
        "/usr/bin/vmtune",
        "/usr/share/man/man1/vmtune.1.gz",
        "/usr/share/man/man5/vmtune.yaml.5.gz",
        "/usr/share/vmtune/schemas/vmtune.schema.json",
        "/usr/share/bash-completion/completions/vmtune",
        "/usr/share/zsh/vendor-completions/_vmtune",
        "/usr/share/fish/vendor_completions.d/vmtune.fish",
        "/usr/share/doc/vmtune/README.md.gz",
        "/usr/share/doc/vmtune/docs/README.md",
    ):
        assert name in files
    assert not [name for name in files if "/dist-packages" in name]
    assert host.run(["dpkg", "--verify", "vmtune"]).stdout == ""
    assert host.run(["vmtune", "--version"], user="alice").stdout.startswith("vmtune")
    json.loads(host.read("/usr/lib/vmtune/reconciler/schemas/status.schema.json"))


def test_another_project_of_its_modules_name_is_not_imported(host):
    found = host.run(["python3", "-c", "import sys; print(sys.path[-1])"]).stdout.strip()
    host.write(f"{found}/reconciler.py", OTHERS.encode())
    for name in ("reconciler", "click", "json"):
        host.write(f"/home/alice/own/{name}.py", OTHERS.encode(), user="alice")
    done = host.run(["vmtune", "--version"], user="alice", env={"PYTHONPATH": "/home/alice/own"})
    host.run(["rm", "-r", f"{found}/reconciler.py", "/home/alice/own"])
    assert done.stdout.startswith("vmtune")


def test_bash_completes_it(host):
    script = """
    . /usr/share/bash-completion/completions/vmtune
    COMP_WORDS=(vmtune sta) COMP_CWORD=1
    _vmtune_completion vmtune
    echo "${COMPREPLY[@]}"
    """
    assert host.run(["bash", "-c", script], user="alice").stdout.split() == ["status"]


def test_alice_plans_and_applies(host):
    host.write(CONFIG, DECLARED.encode(), user="alice")
    installed.let_alice_sudo(host)
    host.run("mkdir -p /srv/raw /srv/cron")
    host.run(["vmtune", "validate"], user="alice")
    assert (
        host.run(["vmtune", "plan", "--detailed-exitcode"], user="alice", check=False).returncode
        == 2
    )
    done = host.run(["vmtune", "apply", "--yes"], user="alice")
    found = re.search(r"verified: (\d+) of (\d+)", done.stdout + done.stderr)
    assert found
    assert found[1] == found[2]
    assert installed.is_nocow(host, VM)
    assert "compress=zstd" not in installed.live(host, "/")
    assert b"compress=no" in host.read("/etc/fstab")
    assert (
        host.run(["vmtune", "plan", "--detailed-exitcode"], user="alice", check=False).returncode
        == 0
    )


def crontabs(host) -> list[str]:
    return host.run("ls /etc/cron.d | grep vmtune", check=False).stdout.split()


def timer(host) -> str:
    units = host.run("ls /etc/systemd/system").stdout.split()
    return next(name for name in units if re.fullmatch(r"vmtune-defrag-.*\.timer", name))


def test_its_schedule_runs(host):
    name = timer(host)
    assert host.run(["systemctl", "is-enabled", name]).stdout.strip() == "enabled"
    assert host.run(["systemctl", "is-active", name]).stdout.strip() == "active"
    installed.guest(host, "/srv/raw/disk.img", 16, 2000)
    before = installed.fragments(host, "/srv/raw/disk.img")
    host.run(["systemctl", "start", name.replace(".timer", ".service")])
    assert installed.shown(host, name.replace(".timer", ".service"), "Result") == "success"
    assert "/usr/lib/vmtune/" in installed.shown(
        host, name.replace(".timer", ".service"), "ExecStart"
    )
    assert installed.fragments(host, "/srv/raw/disk.img") < before / 10


def test_status_doctor_and_history(host):
    done = host.run(["vmtune", "status"], user="alice", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    done = host.run(["sudo", "vmtune", "doctor"], user="alice", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "alice" in host.run(["vmtune", "history"], user="alice").stdout


def test_nothing_looks_unless_it_is_turned_on(host):
    assert (
        host.run("systemctl is-enabled vmtune-status.timer", check=False).stdout.strip()
        == "disabled"
    )
    assert installed.failed(host) == ""


UNIT = "vmtune-status.service"
DROP_INS = f"/etc/systemd/system/{UNIT}.d"


def asked(host) -> tuple[int, set[tuple[str, str]]]:
    """What the unit ends with, and the rows that it tells the journal."""
    since = host.run("date '+%s'").stdout.strip()
    host.run(["systemctl", "start", UNIT], check=False)
    log = host.run(f"journalctl --sync; journalctl --unit {UNIT} -o json --since=@{since}").stdout
    told = [json.loads(line) for line in log.splitlines()]
    rows = {(e["VMTUNE_OP"], e["VMTUNE_ENTRY"]) for e in told if e.get("VMTUNE_EVENT") == "entry"}
    return int(installed.shown(host, UNIT, "ExecMainStatus")), rows


def outside(host) -> tuple[int, set[tuple[str, str]]]:
    """The same of `vmtune status`, called by root."""
    env = {"SUDO_USER": "alice", "VMTUNE_CONFIG": CONFIG}
    done = host.run(["vmtune", "status", "--json"], env=env, check=False)
    rows = json.loads(done.stdout)["changes"]
    return done.returncode, {(row["op"], f"{row['kind']} {row['name']}") for row in rows}


def test_the_unit_sees_what_is_seen_outside(host):
    """ProtectSystem=strict mounts all read-only for the unit: that is no difference of the host."""
    drop_in = next(x.text for x in blocks(MONITORING) if f"VMTUNE_CONFIG={CONFIG}" in x.text)
    editor = f"#!/bin/sh\nfor file; do :; done; cat >$file <<'.'\n{drop_in}.\n"
    host.write("/usr/local/bin/editor", editor.encode(), "755")
    host.run(["sh", "-c", as_typed("sudo systemctl edit vmtune-status.service")], tty=True)
    code, rows = asked(host)
    assert (code, installed.shown(host, UNIT, "Result")) == (0, "success")
    assert (code, rows) == outside(host)
    assert len(rows) > 3
    host.run(as_typed("sudo systemctl enable --now vmtune-status.timer"))
    assert host.run("systemctl is-active vmtune-status.timer").stdout == "active\n"
    host.run("systemctl disable --now vmtune-status.timer")


def test_what_differs_is_a_failure_that_somebody_is_told_of(host):
    teller = "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'echo %i >>/root/told'\n"
    host.write("/etc/systemd/system/tell@.service", teller.encode())
    host.write(f"{DROP_INS}/tell.conf", b"[Unit]\nOnFailure=tell@%n.service\n")
    host.run(f"systemctl daemon-reload; systemctl disable --now {timer(host)}")
    assert asked(host)[0]
    assert installed.shown(host, UNIT, "Result") == "exit-code"
    host.run("until [ -e /root/told ]; do sleep 0.1; done")
    assert host.read("/root/told").decode().strip() == UNIT
    assert UNIT in host.run(as_typed("systemctl --failed")).stdout
    told = host.run(as_typed("journalctl --unit vmtune-status.service")).stdout
    assert "= mount /" in told
    assert "+ defrag /srv/raw" in told
    warned = host.run(as_typed("journalctl --unit vmtune-status.service --priority warning")).stdout
    assert "+ defrag /srv/raw" in warned
    assert "= mount /" not in warned


def test_what_differs_is_told_inside_as_outside(host):
    assert asked(host) == outside(host)


def test_the_plugin_for_nagios(host):
    line = f"/usr/lib/vmtune/check_vmtune --config {CONFIG}"
    argv = ["sh", "-c", as_typed("check_vmtune --config FILE", line)]
    done = host.run(argv, env={"SUDO_USER": "alice"}, check=False)
    assert done.returncode == 1, done.stdout
    assert done.stdout.startswith("VMTUNE WARNING - + defrag /srv/raw | in_sync=3 differs=1 ")
    host.run(f"rm -r {DROP_INS} /etc/systemd/system/tell@.service")
    host.run("systemctl daemon-reload; systemctl reset-failed")
    host.run(["vmtune", "apply", "--yes"], user="alice")
    done = host.run(argv, env={"SUDO_USER": "alice"}, check=False)
    assert done.returncode == 0, done.stdout


METRICS = [
    as_typed("at=/var/lib/prometheus/node-exporter/vmtune.prom"),
    as_typed(
        'vmtune status --json | jq --raw-output --from-file /usr/share/vmtune/metrics.jq >"$at.$$"'
    ),
    as_typed('mv "$at.$$" "$at"'),
]


def test_metrics_for_node_exporter(host):
    host.run("mkdir -p /var/lib/prometheus/node-exporter")
    env = {"SUDO_USER": "alice", "VMTUNE_CONFIG": CONFIG}
    host.run("\n".join(["set -eu", *METRICS]), env=env)
    files = host.run("cd /var/lib/prometheus; head -v */*; rm -r node-exporter").stdout
    assert "==> node-exporter/vmtune.prom <==" in files
    assert "vmtune_status_exit_code 0" in files


@pytest.mark.parametrize("line", [as_typed("man vmtune"), as_typed("man vmtune.yaml")])
def test_man_shows_its_pages(host, line):
    """Debian's debootstrap leaves out no page, and the package brings both."""
    text = host.run(line, user="alice", env={"MANPAGER": "cat"}).stdout
    assert line.removeprefix("man ") in text.splitlines()[0].lower()
    assert "SEE ALSO" in text


def test_a_new_version_keeps_all(host):
    before = installed.state(host, "/etc", "/var/lib/vmtune")
    host.run(as_typed("sudo apt install --reinstall ./dist/vmtune_0.1.0_all.deb"))
    assert [
        line for line in installed.state(host, "/etc", "/var/lib/vmtune") if line not in before
    ] == []
    assert host.run(["vmtune", "status"], user="alice", check=False).returncode == 0


def test_removal_says_what_is_still_declared(host):
    [crontab] = crontabs(host)
    done = host.run("apt-get remove --yes vmtune")
    assert f"in {CONFIG}:" in done.stdout
    for place in (VM, "the options of / in /etc/fstab", timer(host), crontab):
        assert place in done.stdout
    assert host.run("command -v vmtune", check=False).returncode
    # A schedule that would start what is gone does not run until it is there again.
    assert (
        host.run(["systemctl", "is-enabled", timer(host)], check=False).stdout.strip() == "disabled"
    )
    assert crontabs(host) == []
    assert host.run("ls /var/lib/vmtune/runs").stdout


def test_installed_again_it_goes_on(host):
    host.run(as_typed("sudo apt install ./dist/vmtune_0.1.0_all.deb"))
    assert len(crontabs(host)) == 1
    assert host.run(["vmtune", "status"], user="alice", check=False).returncode == 0


def test_purge_leaves_nothing_but_says_what_stays(host):
    assert named(host)
    done = host.run(as_typed("sudo apt purge vmtune"))
    assert f"in {CONFIG}:" in done.stdout
    assert named(host) == []
    assert installed.failed(host) == ""
    assert host.run("systemctl list-timers --all --no-legend 'vmtune*'").stdout == ""
    assert host.read(CONFIG).decode() == DECLARED
    assert b"compress=no" in host.read("/etc/fstab")
    assert installed.is_nocow(host, VM)


def test_it_purges_where_nothing_was_applied(host):
    host.run("apt-get install --yes /root/dist/*.deb")
    done = host.run("apt-get purge --yes vmtune")
    assert "declared" not in done.stdout
    assert named(host) == []
