"""Hosts that are reached by ssh, and programs of the control node that reach them."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests import tiers
from tests.host import installed, sandbox
from tests.host.container import Container

CHECKOUT = Path(__file__).parents[2]
TOOLS = CHECKOUT / ".cache" / "fleet"
PACKAGES = ["git", "jq", "man-db", "openssh-server", "python3-apt", "stow", "yadm"]
"""What these hosts have beside all others; so have those that the Debian package is tested on."""

# No address leads into a host: ssh is handed a connection that was made inside of it.
_CONNECT = """
import socket
there = socket.create_connection(("127.0.0.1", 22))
with socket.socket(fileno=1) as ssh:
    socket.send_fds(ssh, [b"-"], [there.fileno()])
"""


def program(environment: str, name: str) -> str:
    """Return the path of a program of .ci/fleet; skip the test, loudly, where there is none."""
    path = TOOLS / environment / "bin" / name
    if not os.access(path, os.X_OK):
        tiers.absent("fleet", name, "`sh .ci/setup fleet` tries it")
    return str(path)


class Node(Container):
    """A booted host of one release, named after it, with sshd and a user who may use sudo."""

    def __init__(self, suite: str) -> None:
        super().__init__(sandbox.cache_folder(), packages=PACKAGES, suite=suite)
        self.suite = suite

    def boot(self) -> None:
        super().boot()
        self.run(["hostname", self.suite])
        installed.let_alice_sudo(self)

    @property
    def network(self) -> list[str]:
        """What to put before a program that shall find the host at 127.0.0.1."""
        return ["nsenter", "--target", str(self._leader), "--net", "--"]

    def trust(self, public: Path) -> None:
        """Let the owner of a key log in as alice."""
        at = "/home/alice/.ssh/authorized_keys"
        self.write(at, public.read_bytes(), mode="600", user="alice")
        self.run(["chmod", "700", "/home/alice/.ssh"])


class Fleet:
    """The hosts, and a folder of the control node."""

    def __init__(self, hosts: Mapping[str, Node], folder: Path) -> None:
        self.hosts, self.folder = hosts, folder
        if not shutil.which("ssh-keygen"):
            tiers.absent("fleet", "ssh", "apt-get install -y openssh-client")
        self.key = folder / "key"
        sandbox.checked(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.key)])
        (folder / "connect.py").write_text(_CONNECT)
        for host in hosts.values():
            host.trust(folder / "key.pub")
        self.ssh_config = folder / "ssh_config"
        self.ssh_config.write_text("".join(map(self._stanza, hosts)))

    def _stanza(self, name: str) -> str:
        enter = " ".join([*self.hosts[name].network, sys.executable, f"{self.folder}/connect.py"])
        lines = (
            f"Host {name}-* {name}",
            "User alice",
            f"IdentityFile {self.key}",
            "IdentitiesOnly yes",
            "StrictHostKeyChecking no",
            "UserKnownHostsFile /dev/null",
            "LogLevel ERROR",
            f"ProxyCommand {enter}",
            "ProxyUseFdpass yes",
        )
        return "\n    ".join(lines) + "\n"

    def environment(self) -> dict[str, str]:
        """Return an environment in which nothing of this user's own is read or written."""
        return {
            "PATH": f"{TOOLS}/ansible/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(self.folder),
            "PWD": str(self.folder),
            "LANG": "C.UTF-8",
        }

    def run(
        self, argv: Sequence[str], env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a program of the control node in its folder."""
        return subprocess.run(
            argv,
            cwd=self.folder,
            env={**self.environment(), **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
