"""Who calls it, from where, how often at once: rights, locales, help, completion, the lock."""

import re
import subprocess
import time

import pytest

from tests.host import installed, wheels
from tests.host.installed import ALICES, ROOTS

POOL = "/var/lib/libvirt/images"
HERS = "/home/alice/Bilder für VMs"


@pytest.fixture(scope="module")
def host(container, wheelhouse):
    """The pool as libvirt makes it, and a directory that only alice sees."""
    wheels.install(container, wheelhouse)
    container.run(f"install -d -m 711 {POOL} && chattr +C {POOL} && touch {POOL}/disk.img")
    container.run(f"chmod 600 {POOL}/disk.img")
    container.run(f"mkdir -m 700 '{HERS}' && chattr +C '{HERS}'", user="alice")
    return container


def declare(host, text):
    """The same for root and for alice."""
    data = f"version: 1\n{text}\n".encode()
    host.write("/root/.config/vmtune/vmtune.yaml", data)
    host.write("/home/alice/.config/vmtune/vmtune.yaml", data, user="alice")


def pool(path):
    return f'paths:\n  - {{path: "{path}", nocow: true}}'


def test_what_alice_may_not_see_is_unknown_and_never_in_sync(host):
    declare(host, pool(POOL))
    done = host.run("vmtune plan --detailed-exitcode", user="alice", check=False)
    assert done.returncode == 6
    assert f"? nocow {POOL}\n" in done.stdout
    assert "not readable as alice" in done.stdout
    assert "1 not seen" in done.stdout
    assert f"= nocow {POOL} " in host.run([ROOTS, "plan", "--detailed-exitcode"]).stdout


def test_quotas_that_are_off_are_not_told_as_on(host):
    """A container has no /sys/fs/btrfs: alice cannot see whether they are on, and root can."""
    host.run("mkdir -m 755 /srv/seen")
    declare(host, pool("/srv/seen"))
    assert host.run("ls /sys/fs/btrfs", check=False).stdout == ""
    assert "not enabled" in host.run("btrfs qgroup show /", check=False).stderr
    told = " ".join(host.run("vmtune doctor", user="alice", check=False).stdout.split())
    assert "? /srv/seen not known whether limits of qgroups count for it V518" in told
    assert "qgroup" not in host.run([ROOTS, "doctor"]).stdout


def test_a_difference_outweighs_what_is_unknown(host):
    declare(host, f"{pool(POOL)}\n  - {{path: ~/new, nocow: true}}")
    done = host.run("vmtune plan --detailed-exitcode", user="alice", check=False)
    assert done.returncode == 2
    assert host.run("vmtune plan", user="alice").returncode == 0


def test_nothing_is_claimed_of_files_that_were_not_seen(host):
    declare(host, f'{pool(POOL)}\ndefrag:\n  - {{path: {POOL}, schedule: "@daily"}}')
    assert "V309" not in host.run("vmtune plan", user="alice").stdout
    assert "V309" not in host.run("vmtune plan").stdout


def test_a_private_directory_of_her_own(host):
    declare(host, pool(HERS))
    assert host.run("vmtune plan --detailed-exitcode", user="alice").returncode == 0
    assert host.run("vmtune plan --detailed-exitcode").returncode == 0


def test_alice_does_not_obey_a_file_that_others_may_write(host):
    """Root neither: it would be a way to become root."""
    host.write("/tmp/vmtune.yaml", b"version: 1\n", mode="666", user="alice")
    argv = [ROOTS, "--config", "/tmp/vmtune.yaml", "apply", "--yes"]
    assert host.run(argv, check=False).returncode == 1


LOCALES = {
    "C": {"LC_ALL": "C"},
    "POSIX": {"LC_ALL": "POSIX", "LANG": ""},
    "a missing one": {"LC_ALL": "de_DE.ISO-8859-1"},
    "ASCII output": {"PYTHONIOENCODING": "ascii"},
}


@pytest.mark.parametrize("env", LOCALES.values(), ids=LOCALES)
@pytest.mark.parametrize("command", ["validate", "plan", "-v plan", "apply --yes"])
def test_a_path_in_no_locale_s_letters(host, env, command):
    declare(host, pool(HERS) + f'\ndefrag:\n  - {{path: "{HERS}", schedule: "@daily"}}')
    done = host.run([ROOTS, *command.split()], env=env, check=False)
    assert done.returncode == 0, done.stderr
    for word in ("Traceback", "UnicodeEncode", "UnicodeDecode", "fault of vmtune"):
        assert word not in done.stdout + done.stderr
    host.run(["test", "-d", HERS])
    assert host.run("ls /home/alice").stdout == "Bilder für VMs\n"


def test_problems_in_no_locale_s_letters(host):
    declare(host, 'pfade: ["ä"]')
    done = host.run([ROOTS, "plan"], env={"LC_ALL": "C"}, check=False)
    assert done.returncode == 1
    assert "vmtune.yaml:2:1: unknown key 'pfade'" in done.stderr
    argv = [ROOTS, "--config", "/root/nö.yaml", "plan"]
    done = host.run(argv, env={"LC_ALL": "C"}, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "No such file" in done.stderr


@pytest.mark.parametrize("arguments", ["--help", "-h", "plan --help", "apply -h", ""])
def test_help_needs_no_configuration(host, arguments):
    done = host.run(f"cd / && vmtune {arguments}", user="alice")
    assert done.stdout.startswith("Usage: vmtune")
    assert "\\b" not in done.stdout
    assert not done.stderr


@pytest.mark.parametrize("arguments", ["--nonsense", "plan --nonsense", "nonsense"])
def test_a_usage_error_is_not_a_difference(host, arguments):
    done = host.run(f"vmtune {arguments}", user="alice", check=False)
    assert done.returncode == 64
    assert not done.stdout
    assert done.stderr.startswith("vmtune: there is no ")
    assert "`vmtune help" in done.stderr


def test_what_names_no_entry_is_a_usage_error(host):
    declare(host, pool(HERS))
    done = host.run("vmtune plan surplus", user="alice", check=False)
    assert done.returncode == 64
    assert not done.stdout
    assert "'surplus' is no entry and no saved plan" in done.stderr


def test_completion_works_in_bash(host):
    script = """
    set -eu
    eval "$(vmtune completion bash)"
    complete -p vmtune
    COMP_WORDS=(vmtune pl) COMP_CWORD=1
    _vmtune_completion vmtune pl vmtune
    echo "<${COMPREPLY[*]}>"
    """
    shown = host.run(["bash", "-c", script], user="alice").stdout.splitlines()
    assert shown[-1] == "<plan>"


BAD = b"""version: 1
paths:
  - {path: relative, nocov: true}
  - {path: ~/b, nocow: true, compression: zstd}
mounts:
  - target: /
    options: {compress: nozz, compres: no}
defrg: []
"""


@pytest.fixture(scope="module")
def both(host, wheelhouse):
    """Newest libraries for alice, Debian's own for all others; nothing of the how-to is done."""
    installed.for_alice(host, wheelhouse)
    host.write("/home/alice/bad.yaml", BAD, user="alice")
    host.write("/home/alice/.config/vmtune/vmtune.yaml", installed.HOW_TO, user="alice")
    return host


def test_the_libraries_are_old_and_new(both):
    ask = "-c 'import importlib.metadata as m; print(m.version(\"deepdiff\"))'"
    old = both.run(f"/opt/vmtune/bin/python {ask}").stdout
    new = both.run(f"{installed.alices_python(both)} {ask}", user="alice").stdout
    assert int(old.partition(".")[0]) < int(new.partition(".")[0])


ADDED = r"(?m)^ *(?:\x1b\[\d+m)? *\+.*\n"
"""A line of a file that is made, in colour or not."""


@pytest.mark.parametrize(
    "arguments",
    [
        "plan",
        "plan --detailed-exitcode",
        "-v --color always plan",
        "validate",
        "validate --all-hosts",
        "validate bad.yaml",
        "--config bad.yaml plan",
        "--version",
        "completion bash",
        "completion zsh",
        "completion fish",
        "",
        "nonsense",
        "plan --nonsense",
        "plan surplus",
        "--config",
        "--color sometimes plan",
    ],
)
def test_old_and_new_libraries_say_the_same(both, arguments):
    new, old = (
        both.run(f"{program} {arguments}", user="alice", check=False) for program in (ALICES, ROOTS)
    )
    assert new.returncode == old.returncode
    assert new.returncode in (0, 1, 2, 64)
    if new.returncode != 64 and "completion" not in arguments and arguments:
        # The job of a schedule is another one where root alone owns the program.
        same = [
            re.sub(r"-> +(\x1b\[\d+m)?\d+ lines", r"-> \1lines", re.sub(ADDED, "", text))
            for text in (new.stdout, old.stdout)
        ]
        assert same[0].replace(ALICES, "vmtune") == same[1].replace(ROOTS, "vmtune")
        assert new.stderr == old.stderr
    assert "Traceback" not in new.stderr + old.stderr


EVERYTHING = """
paths: [{path: /srv/vm, nocow: true}]
mounts: [{target: /, options: {compress: no}}]
defrag: [{path: /srv/vm, schedule: "@daily"}]
"""
NOTHING_YET = """
sed -i s/,compress=[^\\ ,]*// /etc/fstab
rm -rf /srv/vm /var/lib/vmtune; mount -o remount,compress=zstd /
printf 'version: 1\\n' >/root/none.yaml && vmtune --config /root/none.yaml apply --yes
"""


@pytest.fixture
def fresh(host):
    """Nothing of what is declared has been done yet."""
    host.run(NOTHING_YET)
    declare(host, EVERYTHING)
    return host


def done_once(host):
    assert host.run("vmtune plan --detailed-exitcode").returncode == 0
    assert host.read("/etc/fstab").count(b"compress=no") == 1
    assert "C" in host.run("lsattr -d /srv/vm").stdout.split()[0]
    assert not installed.failed(host)


def test_six_at_once(fresh):
    script = """
    for i in 1 2 3 4 5 6; do (vmtune apply --yes >/tmp/out.$i 2>&1; echo $? >/tmp/code.$i) & done
    wait; cat /tmp/code.?
    """
    codes = fresh.run(script).stdout.split()
    assert len(codes) == 6
    assert "0" in codes
    assert set(codes) <= {"0", "4"}
    for number, code in enumerate(codes, 1):
        out = fresh.read(f"/tmp/out.{number}").decode()
        assert "Traceback" not in out
        assert code == "0" or "another vmtune is at work (pid " in out
    done_once(fresh)


@pytest.mark.parametrize(
    ("meanwhile", "code", "words"),
    [
        ("vmtune apply --yes", 0, "Nothing is left to do."),
        ("mkdir /srv/vm", 5, "the host changed since the plan was shown"),
        ("sed -i s/subvol/noatime,subvol/ /etc/fstab", 5, "noatime"),
        ("true", 0, "verified"),
    ],
)
def test_the_world_while_the_person_thinks(fresh, meanwhile, code, words):
    argv = fresh.command([ROOTS, "apply"], tty=True)
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as asking:
        assert asking.stdin
        assert asking.stdout
        seen = ""
        while "Only `yes` does it" not in seen:
            seen += asking.stdout.read(1) or pytest.fail(seen)
        fresh.run(meanwhile)
        before = installed.state(fresh, "/etc", "/srv")
        asking.stdin.write("yes\n")
        asking.stdin.flush()
        seen = asking.stdout.read()
    assert asking.returncode == code
    assert words in seen
    if meanwhile != "true":
        assert installed.state(fresh, "/etc", "/srv") == before
    fresh.run("sed -i s/noatime,// /etc/fstab; vmtune apply --yes")
    done_once(fresh)


def test_a_killed_run_leaves_no_lock(fresh):
    """flock(2): the lock goes with the process."""
    script = "timeout -s KILL 0.45 vmtune apply --yes; true"
    for _ in range(3):
        fresh.run(script, check=False)
        time.sleep(0.1)
    fresh.run("vmtune apply --yes")
    done_once(fresh)
