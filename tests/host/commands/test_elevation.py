"""How alice's vmtune becomes root: on a terminal and without, by sudo, doas, a wrapper or not."""

import json
import time
from pathlib import Path

import jsonschema
import pytest
from referencing import Registry, Resource

from tests.host import installed, sandbox
from tests.host.installed import ALICES
from tests.host.typed import typed

SCHEMAS = Path(__file__).parents[3] / "schemas"
CONFIG = "/home/alice/.config/vmtune/vmtune.yaml"
POOL = "/var/lib/libvirt/images"
EVERYTHING = """version: 1
paths: [{path: ~/vm, nocow: true}]
mounts: [{target: /, options: {compress: no}}]
defrag: [{path: ~/vm, schedule: "@daily"}]
"""
WITH_POOL = EVERYTHING.replace(
    "[{path: ~/vm, n", f"[{{path: {POOL}, nocow: true}}, {{path: ~/vm, n"
)
ONLY_POOL = f"version: 1\npaths: [{{path: {POOL}, nocow: true}}]\n"

ASKS, LETS = b"alice ALL=(ALL) ALL\n", b"alice ALL=(ALL) NOPASSWD: ALL\n"
RIGHTS = {
    "sudo": ("/etc/sudoers.d/alice", "440", ASKS, LETS, "[sudo] password for alice: "),
    "doas": ("/etc/doas.conf", "400", b"permit persist alice\n", b"permit nopass alice\n",
             "doas (alice@vmtune-test) password: "),
}  # fmt: skip
QUESTION = "Only `yes` does it: "
UNDO = f"""set -e
sed -i 's/,compress=[^ ,]*//' /etc/fstab
cd /etc/systemd/system
for timer in vmtune*.timer; do [ ! -e $timer ] || systemctl --quiet disable --now $timer; done
rm -f vmtune*
systemctl daemon-reload
rm -rf ~alice/vm ~alice/.config ~alice/PLAN /var/lib/vmtune {POOL} /tmp/plan /tmp/other
rm -f /etc/sudoers.d/alice /etc/doas.conf /run/vmtune.lock
"""


@pytest.fixture(scope="module")
def installed_host(container, wheelhouse):
    installed.for_alice(container, wheelhouse)
    container.run("echo alice:secret | chpasswd; useradd --create-home --shell /bin/bash bob")
    return container


@pytest.fixture
def host(installed_host):
    """Nothing is done yet, and alice may not become root."""
    installed_host.run(UNDO)
    installed_host.write(CONFIG, EVERYTHING.encode(), user="alice")
    return installed_host


def allow(host, program="sudo", *, ask=False):
    path, mode, asks, lets, _ = RIGHTS[program]
    host.write(path, asks if ask else lets, mode)


def untouched(host):
    """A state that is equal again exactly when nothing was changed."""
    return installed.state(host, "/etc", "/home", "/run/systemd/system"), installed.live(host, "/")


def in_her_home_all_is_hers(host):
    assert host.run("find /home/alice ! -user alice").stdout == ""
    assert host.run(["stat", "-c", "%U:%G %a", "/home/alice/vm"]).stdout == "alice:alice 711\n"
    assert host.run("lsattr -d ~alice/vm").stdout.split()[0].count("C") == 1
    assert host.run("find /root -name vm").stdout == ""


def in_sync(host):
    done = host.run(f"{ALICES} plan --detailed-exitcode", user="alice", check=False)
    return done.returncode == 0


@pytest.mark.parametrize("program", RIGHTS)
def test_asked_once_then_the_password(host, program):
    allow(host, program, ask=True)
    compiled = installed.state(host, "/home/alice/.local")
    with typed(host, f"umask 077; {ALICES} apply", env={"VMTUNE_SUDO": program}) as at:
        plan = at.until(QUESTION)
        before = untouched(host)
        at.type("yes\n")
        command = at.until(RIGHTS[program][-1])
        assert untouched(host) == before
        at.type("secret\n")
        assert at.end() == 0, at.seen
    assert plan.startswith("host vmtune-test \u00b7 config ~/.config/vmtune/vmtune.yaml\n")
    assert "\n+ nocow ~/vm\n" in plan
    python = f"{installed.alices_python(host)} -IB -m reconciler"
    whole = command.replace(" \\\n  ", " ")  # broken between words, to be copied
    assert f"needs root: /usr/bin/{program} {python} --config {CONFIG} " in whole
    assert at.seen.count(QUESTION) == 1
    assert at.seen.count("host vmtune-test ") == 1
    assert "verified: 4 of 4 read back as planned" in at.seen
    in_her_home_all_is_hers(host)
    assert installed.state(host, "/home/alice/.local") == compiled
    assert in_sync(host)
    history = host.run(f"{ALICES} history", user="alice").stdout
    assert "apply by alice: done, 4 of 4 changes" in history


def test_a_no_never_comes_to_the_password(host):
    allow(host, ask=True)
    for answer in ("y\n", "no\n", "YES\n", "\n", "yes please\n", "\x04"):
        before = untouched(host)
        with typed(host, f"{ALICES} apply") as at:
            at.until(QUESTION)
            at.type(answer)
            assert at.end() == 1
        assert "not a yes; nothing was changed" in at.seen
        assert "password" not in at.seen
        assert untouched(host) == before


def test_control_c_at_the_question(host):
    allow(host)
    before = untouched(host)
    with typed(host, f"{ALICES} apply") as at:
        at.until(QUESTION)
        at.type("\x03")
        assert at.end() == 130
    assert "nothing was changed" in at.seen
    assert untouched(host) == before


REFUSED = {
    "wrong passwords": (ASKS, ["wrong\n"] * 3, "3 incorrect password attempts"),
    "not in the sudoers file": (b"#\n", ["secret\n"], "alice is not in the sudoers file"),
    "control-C": (
        ASKS,
        ["\x03"],
        "interrupted while sudo asked for a password; nothing was changed",
    ),
}


@pytest.mark.parametrize(("rights", "answers", "says"), REFUSED.values(), ids=REFUSED)
def test_sudo_says_no(host, rights, answers, says):
    host.write("/etc/sudoers.d/alice", rights, "440")
    before = untouched(host)
    with typed(host, f"{ALICES} apply --yes") as at:
        for answer in answers:
            at.until("password for alice: ")
            time.sleep(0.3)  # sudo asks first, and catches signals after that
            at.type(answer)
        assert at.end() == (130 if "\x03" in answers else 1)
    assert says in at.seen
    assert "Traceback" not in at.seen
    assert untouched(host) == before


def make_pool(host, contents=""):
    host.run(f"install -d -m 711 {POOL} {contents}")


def test_root_sees_more_and_asks_again(host):
    allow(host)
    host.write(CONFIG, WITH_POOL.encode(), user="alice")
    make_pool(host)
    with typed(host, f"{ALICES} apply") as at:
        assert f"\n? nocow {POOL}" in at.until(QUESTION)
        at.type("yes\n")
        again = at.until(QUESTION)
        assert f"\n+ nocow {POOL}" in again.replace("~ nocow", "+ nocow")
        assert "\n+ nocow ~/vm\n" in again
        before = untouched(host)
        at.type("no\n")
        assert at.end() == 1
    assert untouched(host) == before
    with typed(host, f"{ALICES} apply") as at:
        for _ in range(2):
            at.until(QUESTION)
            at.type("yes\n")
        assert at.end() == 0, at.seen
    assert "C" in host.run(["lsattr", "-d", POOL]).stdout.split()[0]


def test_root_sees_that_the_rest_is_in_sync(host):
    """The same actions: no second question, but the `?` is answered."""
    allow(host)
    host.write(CONFIG, WITH_POOL.encode(), user="alice")
    make_pool(host, f"&& chattr +C {POOL}")
    with typed(host, f"{ALICES} apply") as at:
        assert f"\n? nocow {POOL}" in at.until(QUESTION)
        at.type("yes\n")
        assert at.end() == 0, at.seen
    assert at.seen.count(QUESTION) == 1
    assert f"= nocow {POOL} " in at.seen


@pytest.mark.parametrize(("contents", "code"), [(f"&& chattr +C {POOL}", 0), ("", 1)])
def test_only_root_can_see_anything(host, contents, code):
    allow(host)
    host.write(CONFIG, ONLY_POOL.encode(), user="alice")
    make_pool(host, contents)
    with typed(host, f"{ALICES} apply") as at:
        at.until("needs root")
        if code:
            at.until(QUESTION)
            at.type("no\n")
        assert at.end() == code, at.seen
    assert at.seen.count(QUESTION) == code
    done = host.run(f"{ALICES} apply", user="alice", check=False)
    assert done.returncode == 6, done.stderr
    assert "needs root" not in done.stderr


# --- Without a terminal ---


@pytest.mark.parametrize("program", RIGHTS)
def test_without_a_terminal_no_password_is_asked_for(host, program):
    allow(host, program, ask=True)
    before = untouched(host)
    env = {"VMTUNE_SUDO": program}
    done = host.run(f"{ALICES} apply --yes", user="alice", env=env, check=False)
    assert done.returncode == 1
    assert "without a terminal to ask for a password on: " in done.stderr
    assert f"/usr/bin/{program} -n " in done.stderr
    assert untouched(host) == before


@pytest.mark.parametrize("program", RIGHTS)
def test_without_a_terminal_nor_a_password(host, program):
    allow(host, program)
    env = {"VMTUNE_SUDO": program}
    done = host.run(f"{ALICES} apply --yes", user="alice", env=env)
    assert done.stdout.count("host vmtune-test ") == 1
    in_her_home_all_is_hers(host)
    assert in_sync(host)


@pytest.mark.parametrize("command", ["apply", "apply --json"])
def test_nobody_to_ask(host, command):
    allow(host)
    before = untouched(host)
    done = host.run(f"echo yes | {ALICES} {command}", user="alice", check=False)
    assert done.returncode == 1
    assert "--yes" in done.stderr
    assert "terminal" in done.stderr
    assert "needs root" not in done.stderr
    assert untouched(host) == before


def test_lines_of_json_only(host):
    allow(host)
    done = host.run(f"{ALICES} apply --json --yes", user="alice")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["event"] for line in lines[:3]] == ["plan", "root", "begin"]
    assert [line["event"] for line in lines[-2:]] == ["verified", "exit"]
    assert lines[-1]["code"] == 0
    schemas = [json.loads(path.read_text()) for path in SCHEMAS.glob("*.json")]
    resources = [(f"{path.name}", Resource.from_contents(json.loads(path.read_text())))
                 for path in SCHEMAS.glob("*.json")]  # fmt: skip
    [events] = [schema for schema in schemas if schema.get("title") == "vmtune.events/1"]
    check = jsonschema.Draft202012Validator(events, registry=Registry().with_resources(resources))
    for line in lines:
        check.validate(line)


def test_lines_of_json_where_sudo_says_no(host):
    """They end as always, and not with the command that was refused."""
    before = untouched(host)
    done = host.run(f"{ALICES} apply --json --yes", user="alice", check=False)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line.get("event", line.get("format")) for line in lines] == [
        *("plan", "root", "vmtune.error/1", "exit")
    ]
    assert lines[-1]["code"] == done.returncode == 1
    assert "nothing was changed" in lines[-2]["problems"][0]["message"]
    assert untouched(host) == before


# --- VMTUNE_SUDO ---

WRAPPER = b'#!/bin/sh\nexec sudo -n env -u SUDO_USER -u SUDO_UID -u SUDO_GID -u HOME "$@"\n'


@pytest.mark.parametrize("named", ["sudo", "/usr/bin/sudo", "/opt/become"])
def test_the_named_program_is_used(host, named):
    """A wrapper that does not tell who called, as su(1): ~ is alice's all the same."""
    allow(host)
    host.write("/opt/become", WRAPPER, "755")
    done = host.run(f"{ALICES} apply --yes", user="alice", env={"VMTUNE_SUDO": named})
    assert f"needs root{'' if 'become' in named else ', w'}" in done.stderr
    in_her_home_all_is_hers(host)
    assert "by alice" in host.run(f"{ALICES} history", user="alice").stdout


@pytest.mark.parametrize("named", ["nonsense", "/tmp", "/nowhere/sudo", "/etc/fstab", "./sudo"])
def test_a_named_program_that_is_none(host, named):
    allow(host)
    before = untouched(host)
    env = {"VMTUNE_SUDO": named}
    done = host.run(f"{ALICES} apply --yes", user="alice", env=env, check=False)
    assert done.returncode == 1
    assert f"VMTUNE_SUDO={named}: there is no such program; nothing was changed" in done.stderr
    assert untouched(host) == before
    host.write(CONFIG, ONLY_POOL.encode(), user="alice")
    make_pool(host)
    done = host.run(f"{ALICES} plan", user="alice", env=env, check=False)
    assert (done.returncode, done.stderr) == (6, "")


@pytest.mark.parametrize("how", ["VMTUNE_SUDO=none", "not installed"])
@pytest.mark.parametrize("command", ["apply", "apply PLAN"])
def test_the_line_for_root_is_all_it_takes(host, how, command):
    """As where root has a password, and sudo is not installed: su(1)."""
    host.run(f"{ALICES} plan -o PLAN", user="alice")
    before = untouched(host)
    env = {"VMTUNE_SUDO": "none"} if how != "not installed" else {}
    if not env:
        host.run("chmod a-x /usr/bin/sudo /usr/bin/doas; chmod -f a-x /usr/bin/run0 || :")
    yes = "--yes" if command == "apply" else ""
    done = host.run(f"{ALICES} {command} {yes}", user="alice", env=env, check=False)
    host.run("chmod 4755 /usr/bin/sudo /usr/bin/doas; chmod -f 755 /usr/bin/run0 || :")
    assert done.returncode == 1
    assert "nothing was changed" in done.stderr
    [line] = [x for x in done.stderr.splitlines() if x.startswith("    as root: ")]
    assert untouched(host) == before
    host.run(["su", "--login", "root", "--command", line.removeprefix("    as root: ")])
    in_her_home_all_is_hers(host)
    assert in_sync(host)


# --- Saved plans and revert ---


@pytest.mark.parametrize("folder", ["/home/alice", "/tmp"])
def test_a_saved_plan_and_the_way_back(host, folder):
    allow(host)
    before = host.run("cd /etc; find . -type f -exec md5sum {} +").stdout
    host.run(f"umask 0; cd {folder}; {ALICES} plan -o plan", user="alice")
    assert host.run(["stat", "-c", "%U %a", f"{folder}/plan"]).stdout == "alice 600\n"
    host.run(f"cd {folder}; {ALICES} apply plan", user="alice")
    in_her_home_all_is_hers(host)
    assert in_sync(host)
    with typed(host, f"{ALICES} revert") as at:
        at.until(QUESTION)
        at.type("yes\n")
        assert at.end() == 0, at.seen
    assert at.seen.count(QUESTION) == 1
    assert at.seen.count("what takes run 1 back") == 1
    assert host.run("cd /etc; find . -type f -exec md5sum {} +").stdout == before
    history = host.run(f"{ALICES} history", user="alice", env={"COLUMNS": "200"}).stdout
    runs = [line for line in history.splitlines() if " by " in line]
    assert [line.split("by")[1].split(":")[0] for line in runs] == [" alice", " alice"]
    host.run(f"rm {folder}/plan")


def test_revert_without_a_terminal(host):
    allow(host)
    host.run(f"{ALICES} apply --yes", user="alice")
    before = untouched(host)
    assert host.run(f"{ALICES} revert", user="alice", check=False).returncode == 1
    assert untouched(host) == before
    host.run(f"{ALICES} revert --yes", user="alice")
    assert not in_sync(host)


def test_revert_of_what_only_root_can_see(host):
    allow(host)
    host.run(f"install -d -m 700 {Path(POOL).parent}")
    host.write(CONFIG, ONLY_POOL.encode(), user="alice")
    host.run(f"sudo {ALICES} --config {CONFIG} apply --yes", user="alice")
    host.run(["test", "-d", POOL])
    with typed(host, f"{ALICES} revert") as at:
        at.until("? nocow")
        at.until("needs root")
        at.until("- nocow")
        at.until(QUESTION)
        at.type("yes\n")
        assert at.end() == 0, at.seen
    assert host.run(["test", "-e", POOL], check=False).returncode == 1
    host.run(f"chmod 755 {Path(POOL).parent}")


# --- What others would like root to do ---

EVIL = """
import os, sys
here = os.path.dirname(os.path.abspath(__file__))
open(f"/tmp/imported/{os.geteuid()}-{__name__}", "w").close()
kept = sys.path[:]
sys.path[:] = [path for path in kept if not here.startswith(os.path.abspath(path or "."))]
del sys.modules[__name__]
__import__(__name__)
sys.path[:] = kept
"""
MODULES = ["click", "json", "jsonschema", "reconciler/__init__", "shlex", "yaml"]
SITE = f"/home/alice/.local/lib/python{sandbox.PYTHON}/site-packages"


def test_root_imports_nothing_of_what_lies_about(host):
    host.write("/etc/sudoers.d/alice", b'Defaults env_keep += "PYTHONPATH"\n' + LETS, "440")
    host.run("rm -rf /tmp/imported; mkdir -m 777 /tmp/imported")
    for folder in ("/home/alice/evil", SITE):
        for name in MODULES:
            host.write(f"{folder}/{name}.py", EVIL.encode(), user="alice")
    host.write(f"{SITE}/usercustomize.py", b"open('/tmp/imported/0-user', 'w')", user="alice")
    env = {"PYTHONPATH": "/home/alice/evil", "PYTHONDONTWRITEBYTECODE": "1"}
    host.run(f"cd ~/evil; {ALICES} apply --yes", user="alice", env=env)
    assert in_sync(host)
    found = host.run("ls /tmp/imported").stdout.split()
    assert {"1000-yaml", "1000-json", "1000-reconciler"} <= set(found)
    assert not [name for name in found if name.startswith("0-")]
    host.run("rm -r evil .local/lib", user="alice")


def test_pip_install_into_a_home(host):
    """No environment of its own: -I alone would not find it. And no compiled files of root's."""
    host.write("/etc/sudoers.d/bob", b"bob ALL=(ALL) NOPASSWD: ALL\n", "440")
    host.run("pip install --quiet --user --break-system-packages vmtune", user="bob")
    host.run("find . -name __pycache__ -prune -exec rm -r {} +", user="bob")
    host.write("/home/bob/vmtune.yaml", EVERYTHING.encode(), user="bob")
    env = {"PYTHONDONTWRITEBYTECODE": "1"}
    done = host.run("~/.local/bin/vmtune apply --yes", user="bob", env=env)
    assert "/site-packages/reconciler/__main__.py --config" in done.stderr
    assert host.run("find /home/bob ! -user bob -o -name __pycache__").stdout == ""
    assert host.run(["stat", "-c", "%U", "/home/bob/vm"]).stdout == "bob\n"
    host.run("rm -rf /home/bob/vm /home/bob/vmtune.yaml /etc/sudoers.d/bob")


def forged(host, change):
    """A plan of alice's that says more than it shows."""
    host.run(f"{ALICES} plan -o PLAN", user="alice")
    plan = json.loads(host.read("/home/alice/PLAN"))
    change(plan)
    host.write("/home/alice/PLAN", json.dumps(plan).encode(), "600", user="alice")


def another_file(plan):
    job = "# Made by vmtune\n* * * * * root true\n"
    plan["actions"].append(
        {"place": "TextFile", "path": "/etc/cron.d/x", "have": None, "want": job, "why": "",
         "owner": "defrag ~/vm"}
    )  # fmt: skip


def another_text(plan):
    for action in plan["actions"]:
        if action.get("place") == "UnitFile":
            action["want"] += "ExecStartPre=/bin/true\n"


@pytest.mark.parametrize("change", [another_file, another_text])
def test_a_plan_does_nothing_that_the_configuration_does_not_ask_for(host, change):
    allow(host)
    forged(host, change)
    before = untouched(host)
    done = host.run(f"{ALICES} apply PLAN", user="alice", check=False)
    assert done.returncode == 5, done.stdout + done.stderr
    assert "not asked for" in done.stderr
    assert untouched(host) == before


TRAPS = {
    "bob's file": ("cat ~alice/.config/vmtune/vmtune.yaml >/tmp/other/vmtune.yaml", "bob", 1),
    "a link that bob may turn": ("ln -s /home/alice/.config/vmtune/* /tmp/other/", "bob", 1),
    "a folder of bob's": ("cp ~alice/.config/vmtune/vmtune.yaml /tmp/other/", "alice", 1),
    "her own": ("cp ~alice/.config/vmtune/vmtune.yaml /tmp/other/", "alice", 0),
    "her own, with a umask of 002": (
        "umask 2; cp ~alice/.config/vmtune/vmtune.yaml /tmp/other/; chmod g+w /tmp/other/*",
        "alice",
        0,
    ),
    "bob in her group": ("umask 2; cp ~alice/.config/vmtune/* /tmp/other/; chmod g+w /tmp/other/*",
                         "alice", 1),
}  # fmt: skip


@pytest.mark.parametrize("name", TRAPS)
def test_a_configuration_that_someone_else_may_change(host, name):
    script, user, code = TRAPS[name]
    allow(host)
    owner = "alice" if name.startswith("her own") or "group" in name else "bob"
    host.run(f"install -d -m 755 -o {owner} -g {owner} /tmp/other")
    if "group" in name:
        host.run("usermod --append --groups alice bob")
    if user == "alice" and owner == "bob":
        host.run("chmod 777 /tmp/other")
    host.run("chmod 755 /home/alice")
    host.run(script, user=user)
    if "folder" in name:
        host.run("chmod 755 /tmp/other")
    before = untouched(host)
    argv = f"{ALICES} --config /tmp/other/vmtune.yaml apply --yes"
    done = host.run(argv, user="alice", check=False)
    host.run("gpasswd --delete bob alice", check=False)
    assert done.returncode == code, done.stdout + done.stderr
    if code:
        assert "by others" in done.stderr or "another user (uid 1001)" in done.stderr
        assert untouched(host)[1] == before[1]


def test_a_plan_is_never_written_through_a_link_or_into_another_s_file(host):
    allow(host)
    before = host.read("/etc/passwd")
    host.run("ln -s /etc/passwd /tmp/plan", user="bob")
    argv = f"sudo {ALICES} --config {CONFIG} plan -o /tmp/plan"
    assert host.run(argv, user="alice", check=False).returncode == 1
    assert host.read("/etc/passwd") == before
    host.run("rm /tmp/plan; echo mine >/tmp/plan; chmod 666 /tmp/plan", user="bob")
    assert host.run(argv, user="alice", check=False).returncode == 1
    assert host.read("/tmp/plan") == b"mine\n"
    looks_like_one = """{"format": "vmtune.plan/1"}"""
    host.run(f"rm /tmp/plan; echo '{looks_like_one}' >/tmp/plan; chmod 666 /tmp/plan", user="bob")
    host.run(argv, user="alice")
    assert host.run("stat -c '%U %a' /tmp/plan").stdout == "root 600\n"


# --- The lock ---


def test_the_lock_names_its_holder_and_goes_with_it(host):
    """Who comes second waits, and does what the one that was killed left."""
    allow(host)
    slowly = "strace -o /dev/null -e inject=mkdirat:delay_enter=20s"
    slow = f"sudo {slowly} {ALICES} --config {CONFIG} apply --yes"
    with typed(host, slow) as first:
        first.until("[1/4]", 30)  # who has the lock is first, not who was started first
        with typed(host, f"{ALICES} apply --yes") as second:
            second.until("waiting for another vmtune to end (", 10)
            pid = host.run("cut -d, -f1 /run/vmtune.lock").stdout.removeprefix("pid ").strip()
            command = host.run(["cat", f"/proc/{pid}/cmdline"]).stdout
            assert command.rstrip("\0").split("\0")[-2:] == ["apply", "--yes"]
            second.until(f"pid {pid}, user alice, since 20", 10)
            ran = host.run("flock -n /run/vmtune.lock true", user="alice", check=False)
            assert ran.returncode
            host.run(["kill", "-KILL", pid])
            first.end()
            assert second.end() == 0, second.seen
    in_her_home_all_is_hers(host)
    assert in_sync(host)


def test_the_line_that_plan_names_works_as_it_is(host):
    allow(host)
    host.write(CONFIG, ONLY_POOL.encode(), user="alice")
    make_pool(host)
    shown = host.run(f"{ALICES} plan", user="alice", check=False).stdout
    line = shown.rpartition("To see what is `?` here: ")[2].partition("\n")[0]
    assert line == "sudo ~/.local/bin/vmtune plan", "the shortest that works"
    assert "~ nocow" in host.run(line, user="alice").stdout
