"""run0(1), which asks polkit: on a terminal, without, and as a program's JSON."""

import json

import pytest

from tests.host import installed, sandbox
from tests.host.installed import ALICES
from tests.host.sandbox import LIBVIRT
from tests.host.typed import typed

pytestmark = pytest.mark.skipif(
    sandbox.SUITE == "bookworm", reason="its systemd has no run0: VMTUNE_TEST_SUITE=trixie has"
)

CONFIG = b"""version: 1
paths: [{path: ~/vm, nocow: true}]
mounts: [{target: /, options: {compress: no}}]
defrag: [{path: ~/vm, schedule: daily}]
"""
LETS = b"""polkit.addRule(function(action, subject) {
  if (action.id.indexOf("org.freedesktop.systemd1.") == 0 && subject.user == "alice")
    return polkit.Result.YES;
});
"""
RULE = "/etc/polkit-1/rules.d/10-alice.rules"
RUN0 = {"VMTUNE_SUDO": "run0"}
QUESTION = "Only `yes` does it: "


@pytest.fixture(scope="module")
def host(make_container, wheelhouse):
    """One that has polkit; alice has no right yet."""
    container = make_container(packages=LIBVIRT, size="4G")
    installed.for_alice(container, wheelhouse)
    container.write("/home/alice/.config/vmtune/vmtune.yaml", CONFIG, user="alice")
    return container


def allow(host):
    host.write(RULE, LETS)
    host.run("systemctl restart polkit")


def answered(host, command):
    """At a terminal, with yes."""
    with typed(host, f"{ALICES} {command}", env=RUN0) as at:
        at.until(QUESTION)
        at.type("yes\n")
        assert at.end() == 0, at.seen
    assert "needs root: /usr/bin/run0 " in at.seen
    assert "verified: 5 of 5 read back as planned" in at.seen


def test_who_may_not_changes_nothing(host):
    before = installed.state(host, "/etc", "/home")
    done = host.run(f"{ALICES} apply --yes", user="alice", env=RUN0, check=False)
    assert done.returncode == 1
    assert "run0 --no-ask-password" in done.stderr
    assert installed.state(host, "/etc", "/home") == before


def test_with_and_without_a_terminal(host):
    """What is made in her home is hers, and the journal knows who it was."""
    allow(host)
    answered(host, "apply")
    assert host.run("find /home/alice ! -user alice").stdout == ""
    assert host.run("lsattr -d ~alice/vm").stdout.split()[0].count("C") == 1
    answered(host, "revert")
    done = host.run(f"{ALICES} apply --yes --json", user="alice", env=RUN0)
    last = json.loads(done.stdout.splitlines()[-1])
    assert last == {"event": "exit", "code": 0}
    assert host.run(f"{ALICES} plan --detailed-exitcode", user="alice", check=False).returncode == 0
    history = host.run(f"{ALICES} history", user="alice").stdout
    assert history.count("by alice: done, 4 of 4 changes") == 3, history
