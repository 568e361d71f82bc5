"""Ansible's own programs, run on the control node of a fleet."""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.documents import as_typed
from tests.fleet.nodes import CHECKOUT, Fleet, program

COLLECTION = CHECKOUT / "integrations" / "ansible"
MODULE = "vmtune.vmtune.vmtune"
CALLBACKS = Path(__file__).parent / "callbacks"


@dataclass
class Played:
    """What a playbook did: its exit code, what it printed, the module's result on each host."""

    code: int
    said: str
    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)


class Ansible:
    """The collection, built and installed as its users do it, and an inventory."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet, self.folder = fleet, fleet.folder
        program("ansible", "ansible-playbook")
        self.env = {
            "ANSIBLE_HOME": str(self.folder / "ansible"),
            "ANSIBLE_COLLECTIONS_PATH": str(self.folder / "collections"),
            "ANSIBLE_SSH_ARGS": f"-F {fleet.ssh_config} -o ControlMaster=auto -o ControlPersist=60",
            "ANSIBLE_CALLBACK_PLUGINS": str(CALLBACKS),
            "ANSIBLE_CALLBACKS_ENABLED": "lines",
            "ANSIBLE_INVENTORY": str(self.folder / "inventory.ini"),
            "ANSIBLE_LOCALHOST_WARNING": "False",
            "ANSIBLE_RETRY_FILES_ENABLED": "False",
            "ANSIBLE_DEPRECATION_WARNINGS": "False",
            "ANSIBLE_PYTHON_INTERPRETER": "auto_silent",
            # A path to a socket has 108 bytes at most.
            "ANSIBLE_SSH_CONTROL_PATH_DIR": f"/tmp/vmtune-ssh-{os.getpid()}",
            "LINES": str(self.folder / "lines"),
        }
        (self.folder / "integrations").symlink_to(COLLECTION.parent)
        self.call(*as_typed("ansible-galaxy collection build integrations/ansible").split())
        archive = as_typed("ansible-galaxy collection install vmtune-vmtune-0.1.0.tar.gz")
        self.call(*archive.split(), "--offline")
        self.inventory({name: {} for name in fleet.hosts})

    def inventory(self, hosts: dict[str, dict[str, Any]]) -> None:
        """Write the inventory: hosts by name, and beside it what is declared for each."""
        (self.folder / "inventory.ini").write_text("".join(f"{name}\n" for name in sorted(hosts)))
        shutil.rmtree(self.folder / "host_vars", ignore_errors=True)
        (self.folder / "host_vars").mkdir()
        for name, declared in hosts.items():
            (self.folder / "host_vars" / f"{name}.yml").write_text(yaml.safe_dump(declared))

    def run(self, name: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Run one of Ansible's programs."""
        return self.fleet.run([program("ansible", name), *words], self.env)

    def call(self, name: str, *words: str) -> str:
        """Run one that must succeed; return what it prints."""
        done = self.run(name, *words)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def play(self, playbook: str, *words: str) -> Played:
        """Play a playbook: the text of one, its name, or a line of the pages that plays one."""
        lines = self.folder / "lines"
        lines.unlink(missing_ok=True)
        if "\n" in playbook:
            (self.folder / "play.yml").write_text(playbook)
            playbook = "play.yml"
        done = self.run("ansible-playbook", *playbook.split()[" " in playbook :], *words)
        played = Played(done.returncode, done.stdout + done.stderr)
        for line in lines.read_text().splitlines() if lines.exists() else []:
            each = json.loads(line)
            if each["task"] == MODULE:
                played.results[each["host"]] = each["result"]
                played.states[each["host"]] = each["state"]
        return played

    def task(self, *words: str, **given: Any) -> Played:
        """Play the module alone, with these parameters."""
        task = {"name": "t", MODULE: given}
        play = {"hosts": "all", "become": True, "gather_facts": False, "tasks": [task]}
        return self.play("---\n" + yaml.safe_dump([play]), *words)
