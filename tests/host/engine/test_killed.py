"""Killed before and after every effect where systemd runs: unit files, timers, daemon-reload."""

import json

import pytest

from tests import patience
from tests.host import wheels
from tests.host.installed import CONFIG, ROOTS

PATHS = """version: 1
paths: [{path: /srv/vm, nocow: true}]
mounts: [{target: /, options: {compress: "zstd:1"}}]
defrag:
  - {path: /srv/vm, schedule: "@daily"}
  - {path: /srv/by-cron, schedule: "5 4 * * *", scheduler: cron}
"""
UNDO = """
for timer in $(cd /etc/systemd/system && ls | grep '^vmtune.*timer$'); do
  systemctl -q disable --now $timer; done
rm -rf /etc/systemd/system/vmtune* /etc/cron.d/vmtune* /var/lib/vmtune /srv/vm
cp /root/fstab /etc/fstab
mount --options-source=disable -o remount,compress=no /
systemctl daemon-reload
"""
# What others say of the host: files, systemd, the kernel.
LOOK = """
cat /etc/fstab /etc/systemd/system/vmtune* /etc/cron.d/vmtune* 2>/dev/null
systemctl list-unit-files --no-legend 'vmtune*.timer'
systemctl list-units --plain --no-legend 'vmtune*.timer' | cut -c -90 | sed 's/ *$//'
for timer in $(cd /etc/systemd/system; ls | grep '^vmtune.*timer$'); do
  systemctl show -P NeedDaemonReload $timer; done
findmnt -no OPTIONS / | tr , '\\n' | grep compress
lsattr -d /srv/vm
find /etc /var/lib/vmtune /srv -name '.*.vmtune'
"""
# In one process that has imported vmtune: each run is a fork of it.
SWEEP = """
import json, os, signal, subprocess, sys
from reconciler.cli import run
from reconciler.resources import writes

def vmtune(*words, kill=(0, "")):
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    count = 0
    def ended(real):
        def effect(*given, **named):
            nonlocal count
            count += 1
            if (count, "before") == kill:
                os.kill(os.getpid(), signal.SIGKILL)
            real(*given, **named)
            if (count, "after") == kill:
                os.kill(os.getpid(), signal.SIGKILL)
        return effect
    writes.put, writes.notify = ended(writes.put), ended(writes.notify)
    for number in (1, 2):
        os.dup2(os.open("/tmp/out", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    code = run(["--config", sys.argv[1], *words])
    sys.stdout.flush()
    os._exit(code)

def shell(script):
    return subprocess.run(["sh", "-c", script], capture_output=True, text=True).stdout

found = [{"code": vmtune("apply", "--yes"), "look": shell(sys.argv[2])}]
shell(sys.argv[3])
number = 1
while found[-1]["code"] in {0, -9} and not (number > 1 and found[-1]["code"] == 0):
    for when in ("before", "after"):
        code = vmtune("apply", "--yes", kill=(number, when))
        fstab = open("/etc/fstab").read()
        again = [vmtune("apply", "--yes"), vmtune("plan", "--detailed-exitcode")]
        said = open("/tmp/out").read()
        vmtune("history", "1")
        found.append({
            "effect": f"{when} {number}", "code": code, "again": again, "said": said,
            "fstab": fstab, "history": open("/tmp/out").read(), "look": shell(sys.argv[2]),
        })
        shell(sys.argv[3])
    number += 1
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def host(container, wheelhouse):
    wheels.install(container, wheelhouse)
    container.run("mkdir /srv/by-cron; cp -p /etc/fstab /root/fstab")
    container.write(CONFIG, PATHS.encode(), mode="600")
    container.write("/root/sweep.py", SWEEP.encode())
    return container


def test_one_more_run_ends_it_and_history_is_truthful(host):
    old = host.read("/etc/fstab").decode()
    host.run([ROOTS, "--version"])
    python = "/opt/vmtune/bin/python"
    argv = [python, "/root/sweep.py", CONFIG, LOOK, UNDO]
    done = host.run(argv, check=False, timeout=8 * patience.SECONDS)
    assert done.returncode == 0, done.stderr
    whole, *killed, last_before, last_after = json.loads(done.stdout)
    assert whole["code"] == 0
    assert {"compress=zstd:1", "enabled"} <= set(whole["look"].split())
    many = len(killed) // 2
    assert many == 8  # a directory, an option live and in fstab, two units, a job, reload, timer
    assert last_before["code"] == last_after["code"] == 0, "no effect is left to be killed at"
    for each in killed:
        when, number = each["effect"].split()
        assert each["code"] == -9, each
        assert each["again"] == [0, 0], each
        assert each["fstab"] in {
            old,
            old.replace("subvol=@rootfs", "subvol=@rootfs,compress=zstd:1"),
        }
        assert each["look"] == whole["look"], each["effect"]
        begun = [line.split("  ")[1] for line in each["history"].splitlines() if line[:3] != "run"
                 and line.startswith("  ") and line[2] != " "]  # fmt: skip
        done_before = int(number) - 1
        ends = ["done"] * done_before + ["cut off"] + ["not done"] * (many - int(number))
        assert begun == ends, (when, each["history"])
