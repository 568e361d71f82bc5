"""What one host costs on the control node: `python -m tests.fleet.cost [FEW MANY]` (root).

One booted host stands for many: each name of the inventory has a connection of its own to it. The
cost of a host is the slope between a small inventory and a larger one, so what Ansible costs by
itself is left out. CPU time is that of Ansible and of all its ssh processes; what vmtune takes on
the host is not in it.
"""

import resource
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import yaml

from tests.fleet.nodes import Fleet, Node
from tests.fleet.playing import MODULE, Ansible
from tests.host import sandbox, wheels

CHECKOUT = Path(__file__).parents[2]
FORKS = 10
CONFIG = {"version": 1, "paths": [{"path": "/srv/vms", "nocow": True}]}


def pss(pid: int) -> int:
    """Return the KiB of memory that a process has, what it shares divided among those who do."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii")
    except OSError:
        return 0
    return int(next(line for line in text.splitlines() if line.startswith("Pss:")).split()[1])


def watched(argv: list[str], fleet: Fleet, env: dict[str, str]) -> tuple[float, float]:
    """Run a program; return the CPU seconds and the peak MiB of it and of all below it."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    running = subprocess.Popen(
        argv, cwd=fleet.folder, env={**fleet.environment(), **env}, stdout=subprocess.DEVNULL
    )
    peak, is_done = 0, threading.Event()

    def look() -> None:
        nonlocal peak
        while not is_done.wait(0.2):
            found = [running.pid, *sandbox.children(running.pid)]
            peak = max(peak, sum(map(pss, found)))

    looking = threading.Thread(target=look)
    looking.start()
    code = running.wait()
    is_done.set()
    looking.join()
    assert code == 0, code
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, peak / 1024


def main(few: int = 5, many: int = 45) -> None:
    """Measure, and print one line for each way of running."""
    with Node("bookworm") as node, tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "wheels"
        wheels.install(node, wheels.wheelhouse(sandbox.cache_folder(), CHECKOUT, made))
        node.write("/etc/ssh/sshd_config.d/many.conf", b"MaxStartups 200\n")
        node.run("systemctl restart ssh")
        fleet = Fleet({"bookworm": node}, Path(folder))
        ansible = Ansible(fleet)
        env = {
            **ansible.env,
            "ANSIBLE_PIPELINING": "True",
            "ANSIBLE_FORKS": str(FORKS),
            # A connection that outlives Ansible would hide its CPU time.
            "ANSIBLE_SSH_ARGS": f"-F {fleet.ssh_config} -o ControlMaster=no",
        }
        task = {"name": "t", MODULE: {"config": CONFIG}}
        play = {"hosts": "all", "become": True, "gather_facts": False, "tasks": [task]}
        (fleet.folder / "play.yml").write_text(yaml.safe_dump([play]))
        assert ansible.task(config=CONFIG).code == 0
        playbook = f"{CHECKOUT}/.cache/fleet/ansible/bin/ansible-playbook"
        for words in (["--check"], []):
            found = {}
            for count in (few, many):
                ansible.inventory({f"bookworm-{number}": {} for number in range(count)})
                found[count] = watched([playbook, "play.yml", *words], fleet, env)
            cpu = (found[many][0] - found[few][0]) / (many - few)
            more = (found[many][1] - found[few][1]) / (many - few)
            print(
                f"{' '.join(words) or 'apply'}: {cpu:.2f} s of CPU and {more:.2f} MiB a host; "
                f"{found[many][1]:.0f} MiB at most with {many} hosts and {FORKS} forks"
            )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
