"""The command line as a script sees it: exit codes, and what is on which stream."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import click
import pytest

from reconciler.cli import cli
from reconciler.commands.explain import CODES, TOPICS
from reconciler.console import Terminal
from reconciler.resources.registry import KINDS
from tests import tiers
from tests.terminal import screen

ROOT = Path(__file__).parents[3]
IS_ROOT = os.geteuid() == 0
NOGROUP = 65534
as_root_only = pytest.mark.skipif(not IS_ROOT, reason="NOT CHECKED: needs root")
CLICK = tuple(map(int, metadata.version("click").split(".")[:2]))
COMMANDS = sorted(cli.commands)
VALID = "version: 1\n"
WRONG = "version: 1\npathz: []\n"
NOT_BTRFS = "version: 1\npaths: [{path: /proc/vm, nocow: true}]\n"


def clean_environment() -> dict[str, str]:
    unwanted = ("VMTUNE_", "XDG_", "SUDO_", "DOAS_", "CLICOLOR", "FORCE_COLOR", "NO_COLOR")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
    return {**kept, "PYTHONPATH": str(ROOT), "COLUMNS": "80", "TERM": "xterm"}


def vmtune(*arguments, cwd="/", prefix=(), **environment):
    env = {**clean_environment(), **environment}
    argv = [*prefix, sys.executable, "-m", "reconciler", *map(str, arguments)]
    return subprocess.run(
        argv,
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )


def on_terminal(columns, *arguments):
    """What is printed on a terminal of that many columns, without colours."""
    env = {**clean_environment(), "NO_COLOR": "1"}
    argv = [sys.executable, "-m", "reconciler", *map(str, arguments)]
    return screen(argv, columns, env)


@pytest.fixture
def write(tmp_path):
    """Writes a file that root would trust, and returns its path."""

    def put(name, content=VALID):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        path.chmod(0o644)
        return path

    return put


# --- Options of every command ---


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_takes_the_options_of_all(name):
    shared = {"--config", "--host", "--color", "--verbose", "-v", "--quiet", "-q"}
    taken = {word for each in cli.commands[name].params for word in each.opts}
    assert shared <= taken
    assert all(f"{word}" in vmtune(name, "--help").stdout for word in shared)


@pytest.mark.parametrize("command", ["plan", "status", "validate", "apply"])
def test_they_stand_before_the_command_or_behind_it(command, write):
    file = str(write("vmtune.yaml", NOT_BTRFS))
    given = ["--config", file, "-v", "--color=always"]
    one, other = vmtune(*given, command), vmtune(command, *given)
    assert one.returncode == 0
    assert file in one.stdout
    assert (one.returncode, one.stdout, one.stderr) == (
        *(other.returncode, other.stdout, other.stderr),
    )


def test_the_host_may_stand_behind_it(write):
    file = write("vmtune.yaml", "version: 1\nhosts: {atlas: {paths: []}}\n")
    assert "for atlas" in vmtune("validate", file, "--host", "atlas").stdout
    assert "host atlas" in vmtune("plan", "--host", "atlas", "--config", file).stdout


def test_of_two_the_later_one_counts(write):
    file, wrong = write("vmtune.yaml", NOT_BTRFS), write("wrong.yaml", WRONG)
    done = vmtune("--config", wrong, "--color=never", "plan", "--color=always", "--config", file)
    assert done.returncode == 0
    assert str(file) in done.stdout
    assert ESCAPE in done.stdout


@pytest.mark.parametrize("words", [["-q", "status"], ["status", "-q"], ["status", "--quiet"]])
def test_quiet_on_either_side(words, write):
    done = vmtune("--config", write("vmtune.yaml", NOT_BTRFS), *words)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_wrong_ones_behind_it_are_wrong_usage_too():
    for words in (["plan", "--color", "sometimes"], ["history", "--config"]):
        assert vmtune(*words).returncode == 64


# --- Usage ---

USAGE = [
    (["pln"], "there is no command pln"),
    (["plan", "--detailed"], "there is no option"),
    (["plan", "extra"], "is no entry and no saved plan"),
    (["--colour", "never", "plan"], "there is no option"),
    (["--color", "sometimes", "plan"], "'sometimes' is not one of"),
    (["--config"], "requires an argument"),
    (["completion"], "missing argument"),
    (["completion", "tcsh"], "'tcsh' is not one of"),
    (["history", "last"], "'last' is not a valid int"),
]


@pytest.mark.parametrize(("arguments", "says"), USAGE, ids=lambda value: " ".join(value)[:20])
def test_wrong_usage_is_64(arguments, says):
    done = vmtune(*arguments)
    assert done.returncode == 64
    assert says in done.stderr
    assert done.stdout == ""


@pytest.mark.skipif(CLICK < (8, 5), reason="older versions of click name no command")
@pytest.mark.parametrize(
    ("arguments", "meant"),
    [(["aply"], "apply"), (["plan", "--detailed"], "--detailed-exitcode")],
)
def test_a_misspelling_gets_a_suggestion(arguments, meant):
    assert f"did you mean {meant}?" in vmtune(*arguments).stderr


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)])
@pytest.mark.parametrize("columns", ["60", "80", "120"])
def test_no_word_of_help_is_broken_in_two(command, columns):
    help_text = vmtune(*command, "--help", COLUMNS=columns).stdout
    assert not re.search(r"[a-z]-\n", help_text)


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)])
def test_help_fits_80_columns(command):
    done = vmtune(*command, "--help")
    assert done.returncode == 0
    assert done.stderr == ""
    assert done.stdout.startswith("Usage: vmtune")
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_no_arguments_are_a_call_for_help():
    assert vmtune().stdout == vmtune("--help").stdout == vmtune("-h").stdout


def test_help_cuts_no_command_short():
    commands = vmtune("--help").stdout.partition("Commands:")[2]
    assert [line.split()[0] for line in commands.splitlines() if line] == COMMANDS
    assert "..." not in commands


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_every_option_is_documented(name):
    command = cli.commands[name] if name else cli
    assert command.help
    options = [param for param in command.params if isinstance(param, click.Option)]
    assert all(len((option.help or "").split()) >= 3 for option in options)
    assert all((option.help or "").endswith(".") for option in options)


def test_version():
    done = vmtune("--version")
    assert done.stdout.startswith("vmtune ")
    assert done.stderr == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_code_for_that_shell(shell, tmp_path):
    done = vmtune("completion", shell)
    assert (done.returncode, done.stderr) == (0, "")
    assert "_VMTUNE_COMPLETE" in done.stdout
    if program := shutil.which(shell):
        script = tmp_path / "completion"
        script.write_text(done.stdout)
        subprocess.run([program, "-n", script], check=True)


def completed(typed):
    words = {"COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}
    done = vmtune(**words, _VMTUNE_COMPLETE="bash_complete")
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("vmtune val", ["plain,validate"]),
        ("vmtune plan --det", ["plain,--detailed-exitcode"]),
        ("vmtune explain V71", [f"plain,{code}" for code in CODES if code.startswith("V71")]),
        ("vmtune explain v80", [f"plain,{code}" for code in CODES if code.startswith("V80")]),
        ("vmtune explain s", ["plain,subvolume", "plain,segments"]),
        ("vmtune explain ~/im", ["file,~/im"]),
        ("vmtune show my", ["file,my"]),
        ("vmtune apply my", ["file,my"]),
        ("vmtune apply noc", ["file,noc", "plain,nocow"]),
        ("vmtune plan ~/noc", ["file,~/noc"]),
        ("vmtune plan ", ["file,"]),
        ("vmtune validate my", ["file,my"]),
        ("vmtune measure /s", ["file,/s"]),
        ("vmtune defrag /s", ["file,/s"]),
        ("vmtune --config my", ["file,my"]),
        ("vmtune plan --conf", ["plain,--config"]),
        ("vmtune plan --config my", ["file,my"]),
        ("vmtune status --html my", ["file,my"]),
    ],
)
def test_completion_completes(typed, offered):
    assert completed(typed) == offered


# --- Which file ---


def test_no_configuration_names_where_it_was_looked_for(tmp_path):
    done = vmtune("plan", cwd=tmp_path, XDG_CONFIG_HOME=str(tmp_path / "none"))
    assert done.returncode == 1
    assert done.stdout == ""
    message, hint = done.stderr.splitlines()
    assert message.startswith("vmtune: no vmtune.yaml: looked for ")
    assert message.endswith(f"{tmp_path}/none/vmtune/vmtune.yaml, /etc/vmtune/vmtune.yaml")
    assert "--config" in hint


def test_a_named_file_that_is_not_there(tmp_path):
    done = vmtune("--config", tmp_path / "none.yaml", "plan")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"vmtune: {tmp_path}/none.yaml: No such file or directory\n"


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo], ids=["directory", "fifo"])
@pytest.mark.parametrize("command", ["plan", "validate"])
def test_what_is_no_file_is_refused_without_waiting(tmp_path, make, command):
    odd = tmp_path / "vmtune.yaml"
    make(odd)
    done = vmtune("--config", odd, command)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"vmtune: {odd} is not a file\n"


def test_an_endless_file_is_not_read():
    done = vmtune("--config", "/dev/zero", "plan")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "vmtune: /dev/zero is not a file\n"


def test_an_empty_name_is_not_another_file(write, tmp_path):
    """--config "$UNSET" must not become whatever file is found instead."""
    write("vmtune/vmtune.yaml")
    done = vmtune("--config", "", "plan", XDG_CONFIG_HOME=str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("vmtune: --config names no file\n")


def test_the_misspelt_name_is_an_error(write, tmp_path):
    wrong = write("vmtune/vmtune.yml")
    done = vmtune("plan", XDG_CONFIG_HOME=str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert (
        done.stderr == f"vmtune: {wrong}: vmtune does not read this file\n    call it vmtune.yaml\n"
    )


def shown_file(done):
    assert done.returncode == 0, done.stderr
    head = done.stdout.splitlines()[0]
    return head.partition("config ")[2].partition(" \u00b7 ")[0]


def test_the_order_in_which_a_file_is_found(write, tmp_path):
    """Each one taken away makes the next one count."""
    named, variable = write("named.yaml"), write("variable.yaml")
    own = write("config/vmtune/vmtune.yaml")
    places = {"XDG_CONFIG_HOME": str(tmp_path / "config"), "VMTUNE_CONFIG": str(variable)}
    assert shown_file(vmtune("--config", named, "plan", **places)) == str(named)
    assert shown_file(vmtune("plan", **places)) == str(variable)
    del places["VMTUNE_CONFIG"]
    assert shown_file(vmtune("plan", **places)) == str(own)
    relative = {"XDG_CONFIG_HOME": "config"}  # XDG Base Directory: ignored unless absolute
    assert str(own) not in vmtune("plan", cwd=tmp_path, **relative).stderr


@as_root_only
def test_root_takes_no_file_from_where_it_happens_to_stand(write, tmp_path):
    here = write("vmtune.yaml")
    nothing = {"XDG_CONFIG_HOME": str(tmp_path / "none")}
    found = vmtune("plan", cwd=tmp_path, **nothing)
    assert found.returncode == 1
    assert "no vmtune.yaml" in found.stderr
    assert str(here) not in found.stderr
    assert shown_file(vmtune("--config", "vmtune.yaml", "plan", cwd=tmp_path)) == str(here)


@as_root_only
@pytest.mark.parametrize("mode", [0o666, 0o664, 0o646])
def test_root_obeys_no_file_that_others_may_write(write, mode):
    path = write("vmtune.yaml")
    os.chown(path, 0, NOGROUP)
    path.chmod(mode)
    done = vmtune("--config", path, "plan")
    assert (done.returncode, done.stdout) == (1, "")
    assert f"may be written by others (mode {mode:04o})" in done.stderr
    assert f"chmod go-w {path}" in done.stderr


@as_root_only
def test_root_obeys_no_file_of_someone_else(write):
    path = write("vmtune.yaml")
    os.chown(path, 1000, 1000)
    done = vmtune("--config", path, "plan")
    assert done.returncode == 1
    assert "belongs to another user (uid 1000)" in done.stderr


@pytest.mark.parametrize("command", ["validate", "plan", "doctor"])
def test_of_many_problems_the_first_are_told_and_the_rest_is_counted(write, command):
    path = write("vmtune.yaml", "version: 1\n" + "quiet: []\n" * 3000)
    done = vmtune("--config", path, command)
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert len(lines) <= 2 * 20 + 1
    assert lines[0].startswith(f"{path}:3:1: ")
    assert lines[-1].startswith("and 2,9")
    assert lines[-1].endswith(" more problems: mend these first")
    whole = vmtune("--config", path, command, "--json") if command != "validate" else None
    assert not whole or len(json.loads(whole.stdout)["problems"]) > 2900


@as_root_only
@pytest.mark.parametrize("wrong", ["owner", "mode"])
def test_the_remedy_is_a_command_that_works(write, wrong):
    """As it is printed, also for a name that a shell would take apart."""
    path = write("my machines' vmtune.yaml")
    if wrong == "owner":
        os.chown(path, 1000, 1000)
    else:
        path.chmod(0o666)
    done = vmtune("--config", path, "plan")
    remedy = done.stderr.splitlines()[-1].strip()
    subprocess.run(["/bin/sh", "-ec", remedy], check=True)
    assert vmtune("--config", path, "plan").returncode == 0


@as_root_only
def test_root_may_name_a_file_by_two_slashes(write):
    """POSIX lets them mean something else, so Python keeps both."""
    assert vmtune("--config", f"/{write('vmtune.yaml')}", "plan").returncode == 0


@as_root_only
def test_a_folder_of_someone_else_is_not_given_to_root(write, tmp_path):
    folder = tmp_path / "theirs"
    folder.mkdir()
    path = write("theirs/vmtune.yaml")
    os.chown(folder, 1000, 1000)
    done = vmtune("--config", path, "plan")
    assert f"{folder} belongs to another user" in done.stderr
    assert "such as /etc/vmtune" in done.stderr


# --- As an ordinary user ---


@pytest.fixture(scope="session")
def ordinary():
    """What to put before a command to run it without privileges; what root owns is then its own."""
    if not IS_ROOT:
        return ()
    prefix = ("unshare", "--user", "--map-user=54321", "--map-group=54321")
    try:
        subprocess.run([*prefix, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        tiers.require("judges", ["user namespaces (unshare --user)"], ["util-linux"])
    return prefix


@pytest.fixture
def home():
    with tempfile.TemporaryDirectory(prefix="vmtune-home-") as folder:
        yield Path(folder)


def test_an_ordinary_user_takes_the_file_of_the_current_directory(ordinary, home):
    own = home / ".config" / "vmtune" / "vmtune.yaml"
    own.parent.mkdir(parents=True)
    own.write_text(VALID)
    (home / "vmtune.yaml").write_text(VALID)
    (home / "vmtune.yaml").chmod(0o666)
    run = {"prefix": ordinary, "cwd": home, "HOME": str(home)}
    here = shown_file(vmtune("plan", **run))
    assert here in {"~/vmtune.yaml", str(home / "vmtune.yaml")}
    (home / "vmtune.yaml").rename(home / "vmtune.yml")
    wrong = vmtune("plan", **run)
    assert (wrong.returncode, wrong.stdout) == (1, "")
    named = f"{here.removesuffix('vmtune.yaml')}vmtune.yml"
    told = f"vmtune: {named}: vmtune does not read this file\n    call it vmtune.yaml\n"
    assert wrong.stderr == told


@as_root_only
def test_without_xdg_config_home_it_is_dot_config_in_the_home(ordinary, home):
    own = home / ".config" / "vmtune" / "vmtune.yaml"
    own.parent.mkdir(parents=True)
    own.write_text(VALID)
    found = vmtune("plan", prefix=ordinary, HOME=str(home))
    assert shown_file(found) == "~/.config/vmtune/vmtune.yaml"


@as_root_only
def test_an_unreadable_file(ordinary, home):
    secret = home / "vmtune.yaml"
    secret.write_text(VALID)
    secret.chmod(0o600)
    os.chown(secret, 1000, 1000)
    done = vmtune("--config", secret, "plan", prefix=ordinary, HOME="/nonexistent")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"vmtune: {secret}: Permission denied\n"


def test_an_ordinary_user_is_told_that_nothing_differs(ordinary, write):
    done = vmtune("--config", write("vmtune.yaml", NOT_BTRFS), "plan", prefix=ordinary)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Nothing to do: 1 not applicable." in done.stdout


def test_applying_nothing_needs_no_root(ordinary, write):
    done = vmtune("--config", write("vmtune.yaml", NOT_BTRFS), "apply", prefix=ordinary)
    assert (done.returncode, done.stderr) == (0, "")


# --- validate ---


def test_validate_says_what_is_valid_and_what_is_not(write):
    good, bad = write("good.yaml"), write("bad.yaml", WRONG)
    done = vmtune("validate", good, bad, good)
    assert done.returncode == 1
    assert [line.partition(":")[0] for line in done.stdout.splitlines()] == [str(good)] * 2
    assert done.stderr.startswith(f"{bad}:2:1: unknown key 'pathz'")


def test_validate_shows_all_problems_at_once(write):
    bad = write("bad.yaml", "version: 1\npathz: []\nmounts: [{target: relative, options: {}}]\n")
    done = vmtune("validate", bad)
    assert (done.returncode, done.stdout) == (1, "")
    assert sum(line.startswith(f"{bad}:") for line in done.stderr.splitlines()) >= 3


@pytest.mark.parametrize("flag", ["-q", "-v"])
def test_quiet_hides_no_problem(write, flag):
    done = vmtune(flag, "validate", write("bad.yaml", WRONG))
    assert done.returncode == 1
    assert "pathz" in done.stderr


def test_validate_for_another_host(write):
    text = "version: 1\nhosts:\n  atlas:\n    paths: [{path: /srv/vm, nocow: true}]\n"
    file = write("vmtune.yaml", text)
    assert "0 entries for elsewhere" in vmtune("--host", "elsewhere", "validate", file).stdout
    assert "1 entry for atlas" in vmtune("--host", "atlas", "validate", file).stdout


def test_validate_all_hosts_reads_the_folder_of_hosts(write):
    file = write("vmtune.yaml", "version: 1\nhosts:\n  atlas: {paths: []}\n")
    write("hosts/titan.yaml", "paths: [{path: /srv/vm, nocow: true}]\n")
    done = vmtune("validate", "--all-hosts", file)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{file}: valid for atlas, titan, and any other host\n"
    bad = write("hosts/rhea.yaml", "paths: [{path: /srv/vm, nocow: maybe}]\n")
    done = vmtune("validate", "--all-hosts", file)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"{bad}:1:")
    assert vmtune("validate", file).returncode == 0, "this host has no file of its own"


# --- Streams and colours ---

ESCAPE = "\x1b["
COLOURS = [
    ("auto", {}, False),
    ("auto", {"FORCE_COLOR": "1"}, True),
    ("auto", {"CLICOLOR_FORCE": "1"}, True),
    ("auto", {"CLICOLOR_FORCE": "0"}, False),
    ("auto", {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
    ("auto", {"FORCE_COLOR": "1", "NO_COLOR": ""}, True),
    ("auto", {"FORCE_COLOR": "1", "CLICOLOR": "0"}, True),
    ("auto", {"FORCE_COLOR": "1", "TERM": "dumb"}, True),
    ("always", {"NO_COLOR": "1", "TERM": "dumb", "CLICOLOR": "0"}, True),
    ("never", {"FORCE_COLOR": "1"}, False),
]
ON_A_TERMINAL = [
    ({}, True),
    ({"NO_COLOR": "1"}, False),
    ({"NO_COLOR": ""}, True),
    ({"CLICOLOR": "0"}, False),
    ({"CLICOLOR": "1"}, True),
    ({"TERM": "dumb"}, False),
]


@pytest.mark.parametrize(("choice", "environment", "coloured"), COLOURS)
def test_colours(write, choice, environment, coloured):
    file = write("vmtune.yaml", NOT_BTRFS)
    done = vmtune("--color", choice, "--config", file, "plan", **environment)
    assert done.returncode == 0
    assert (ESCAPE in done.stdout) is coloured


@pytest.mark.parametrize(("environment", "coloured"), ON_A_TERMINAL)
def test_colours_on_a_terminal(write, environment, coloured):
    file = write("vmtune.yaml", NOT_BTRFS)
    leader, follower = os.openpty()
    argv = [sys.executable, "-m", "reconciler", "--config", file, "plan"]
    env = {**clean_environment(), **environment}
    assert subprocess.run(argv, env=env, stdout=follower, check=False).returncode == 0
    os.close(follower)
    shown = b""
    try:
        while chunk := os.read(leader, 65536):
            shown += chunk
    except OSError:  # EIO is how a terminal says that nobody holds its other side
        pass
    os.close(leader)
    assert b"not applicable" in shown
    assert (ESCAPE.encode() in shown) is coloured


@pytest.mark.parametrize("arguments", [["--help"], ["completion", "bash"], ["plan"]])
def test_a_reader_that_goes_away_is_no_news(write, arguments):
    file = write("vmtune.yaml", NOT_BTRFS)
    read, written = os.pipe()
    os.close(read)
    argv = [sys.executable, "-m", "reconciler", "--config", file, *arguments]
    done = subprocess.run(
        argv, env=clean_environment(), stdout=written, stderr=subprocess.PIPE, check=False
    )
    os.close(written)
    assert done.stderr == b""
    assert done.returncode == 1


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [
        ("ascii", r"gr\xf6\xdfe/\u65e5.yaml"),
        ("latin-1", r"/\u65e5.yaml"),
        ("utf-8", "größe/日.yaml"),
    ],
)
def test_any_encoding_will_do(write, encoding, shown):
    file = write("größe/日.yaml", NOT_BTRFS)
    done = vmtune("--config", file, "plan", PYTHONIOENCODING=encoding, PYTHONUTF8="0")
    assert (done.returncode, done.stderr) == (0, "")
    assert shown in done.stdout.splitlines()[0]


def test_a_name_cannot_move_the_cursor(write, tmp_path):
    file = write("\x1b[2Jclear.yaml")
    missing = tmp_path / "\x1b[31mred.yaml"
    for arguments in (["--config", file, "plan"], ["validate", file, missing]):
        done = vmtune("--color=never", *arguments)
        assert "\x1b" not in done.stdout + done.stderr
        assert r"\x1b[2Jclear.yaml" in done.stdout


def test_width_follows_the_terminal(write):
    file = write("vmtune.yaml", NOT_BTRFS)
    narrow, wide = (on_terminal(n, "--config", file, "plan").splitlines() for n in (60, 200))
    assert all(len(line) <= 60 or " " not in line.strip() for line in narrow)
    assert len(narrow) > len(wide)


@pytest.mark.parametrize("columns", ["40", "80"])
def test_a_pipe_has_no_width(write, columns):
    """What is printed can be searched: each sentence is on one line, whatever $COLUMNS says."""
    file = write("vmtune.yaml", NOT_BTRFS)
    piped = vmtune("--config", file, "plan", COLUMNS=columns).stdout
    assert piped.splitlines()[-1] == "Nothing to do: 1 not applicable."
    assert len(piped.splitlines()) < len(on_terminal(40, "--config", file, "plan").splitlines())
    assert vmtune("explain", "V101", COLUMNS=columns).stdout.count("\n") <= 2


def test_a_problem_is_wrapped_between_words(write):
    """Standard error as well: the terminal would break a word in the middle."""
    file = write("vmtune.yaml", "version: 1\npaths:\n- {path: ~/x, nocow: true, nocw: false}\n")
    told = on_terminal(60, "validate", file)
    (words,) = {" ".join(vmtune("validate", file).stderr.split())}
    assert " ".join(told.split()) == words
    assert all(len(line) <= 60 or " " not in line.strip() for line in told.splitlines())


def test_what_stands_in_the_place_of_a_host_file(write):
    file = write("vmtune.yaml")
    (file.parent / "hosts" / "atlas.yaml").mkdir(parents=True)
    done = vmtune("--host", "atlas", "--config", file, "plan")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"vmtune: {file.parent}/hosts/atlas.yaml is not a file\n"


# --- Host files that may not be seen ---


@pytest.fixture
def closed(write, tmp_path):
    """A configuration whose folder of hosts is root's alone, and what such a folder says."""
    file = write("vmtune.yaml")
    write("hosts/atlas.yaml", "paths: [{path: /proc/vm, nocow: true}]\n")
    (tmp_path / "hosts").chmod(0o700)
    os.chown(tmp_path / "hosts", NOGROUP, NOGROUP)  # not mapped in the user's namespace
    return file


@as_root_only
@pytest.mark.parametrize(
    "command", [["plan", "--detailed-exitcode"], ["status"], ["validate"], ["apply", "--yes"]]
)
def test_a_host_file_that_may_not_be_seen_is_not_absent(ordinary, closed, command):
    """Else nothing would seem to be declared for this host: a blind green."""
    host = [] if command[0] == "apply" else ["--host", "atlas"]  # it is for this host alone
    done = vmtune(*host, "--config", closed, *command, prefix=ordinary)
    assert (done.returncode, done.stdout) == (1, "")
    message, hint = done.stderr.splitlines()
    assert message.startswith(f"vmtune: {closed.parent}/hosts/")
    assert message.endswith(".yaml: Permission denied")
    assert "have it made readable" in hint


@as_root_only
def test_nor_is_a_folder_of_them(ordinary, closed):
    done = vmtune("validate", "--all-hosts", closed, prefix=ordinary)
    assert (done.returncode, done.stdout) == (1, "")
    message, hint = done.stderr.splitlines()
    assert message == f"vmtune: {closed.parent}/hosts: Permission denied"
    assert "have it made readable" in hint


@as_root_only
def test_nor_is_a_configuration_of_ones_own(ordinary, home):
    """What comes after it in the order must not take its place unasked."""
    (home / ".config" / "vmtune").mkdir(parents=True)
    (home / ".config").chmod(0o700)
    os.chown(home / ".config", NOGROUP, NOGROUP)
    done = vmtune("plan", prefix=ordinary, HOME=str(home))
    assert (done.returncode, done.stdout) == (1, "")
    message, hint = done.stderr.splitlines()
    assert message == f"vmtune: {home}/.config/vmtune/vmtune.yaml: Permission denied"
    assert "--config" in hint


@pytest.mark.parametrize("what", ["a file", "nothing", "a link to nothing"])
def test_without_a_folder_of_hosts_the_base_holds(write, tmp_path, what):
    file = write("vmtune.yaml")
    if what == "a file":
        write("hosts")
    if what == "a link to nothing":
        (tmp_path / "hosts").symlink_to("nowhere")
    assert "Nothing is declared." in vmtune("--host", "atlas", "--config", file, "plan").stdout
    assert "valid for any host" in vmtune("validate", "--all-hosts", file).stdout


# --- Where it was started ---

WHERE = [
    (["--config", "rel.yaml", "plan"], "rel.yaml"),
    (["init", "-o", "new.yaml"], "new.yaml"),
    (["validate", "rel.yaml"], "rel.yaml"),
    (["--config", "{file}", "status", "--html", "page.html"], "page.html"),
    (["--config", "{file}", "plan", "-o", "saved"], "saved"),
    (["show", "saved"], "saved"),
    (["defrag", "images"], "images"),
]


def gone(*arguments, prefix=(), **environment):
    """As vmtune(), in a directory that is removed before it starts."""
    script = 'cd "$(mktemp -d)" && rmdir "$PWD" && exec "$@"'
    return vmtune(*arguments, prefix=("sh", "-c", script, "sh", *prefix), **environment)


def test_a_link_that_leads_nowhere_is_told_as_one(tmp_path):
    """As after the repository of dotfiles was moved."""
    link, gone_file = tmp_path / "vmtune.yaml", tmp_path / "dotfiles" / "vmtune.yaml"
    link.symlink_to(gone_file)
    done = vmtune("--config", link, "plan")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"vmtune: {link} is a link to {gone_file}, and that file is not there\n"
        "    have the link lead to where the file is now\n"
    )


@pytest.mark.parametrize(("arguments", "name"), WHERE, ids=lambda value: value[0])
def test_a_working_directory_that_is_gone(write, arguments, name):
    file = str(write("vmtune.yaml", NOT_BTRFS))
    done = gone(*(word.format(file=file) for word in arguments))
    assert done.returncode == 1
    assert f"vmtune: {name}: " in done.stderr
    assert "No such file or directory" in done.stderr


def test_no_file_is_looked_for_in_one_that_is_gone(ordinary, home):
    done = gone("plan", prefix=ordinary, HOME=str(home))
    assert (done.returncode, done.stdout) == (1, "")
    assert "the working directory is not to be found" in done.stderr
    assert "cd" in done.stderr


def test_what_needs_no_working_directory_does_without(write):
    assert gone("--config", write("vmtune.yaml", NOT_BTRFS), "plan").returncode == 0


@pytest.mark.parametrize("columns", ["9" * 5000, "1" * 19, "-1", "", "many", "\u0663"])
def test_a_width_that_is_none(columns, monkeypatch):
    """It counts for nothing, also on a terminal, which says its width itself."""
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setattr("os.get_terminal_size", lambda _fd: os.terminal_size((77, 24)))
    monkeypatch.setattr("sys.stdout", SimpleNamespace(isatty=lambda: True, fileno=lambda: 1))
    assert Terminal().width == 77


@pytest.mark.parametrize(
    "words",
    [
        {"_VMTUNE_COMPLETE": "bash_complete"},
        {"_VMTUNE_COMPLETE": "zsh_complete", "COMP_WORDS": "vmtune"},
        {"_VMTUNE_COMPLETE": "bash_complete", "COMP_WORDS": "vmtune", "COMP_CWORD": "one"},
        {"_VMTUNE_COMPLETE": "fish_complete"},
    ],
)
def test_completion_that_no_shell_asked_for(words):
    done = vmtune("plan", **words)
    assert (done.returncode, done.stdout) == (64, "")
    assert done.stderr == (
        "vmtune: _VMTUNE_COMPLETE is for the script of `vmtune completion` alone\n"
    )


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["plan", "-h"], ["completion", "zsh"]]
)
def test_a_full_disk_is_no_fault_of_vmtune(arguments, unbuffered):
    argv = [sys.executable, "-m", "reconciler", *arguments]
    env = {**clean_environment(), "PYTHONUNBUFFERED": unbuffered}
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            argv, env=env, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 1
    assert done.stderr == "vmtune: the answer cannot be written: No space left on device\n"


# --- Explain an entry ---

ENTRIES = "version: 1\npaths: [{path: /proc/vm, nocow: true}, {path: /proc/it, nocow: true}]\n"


@pytest.mark.parametrize("subject", ["/proc/vm", "/proc//vm/", "nocow[/proc/vm]", "nocow /proc/vm"])
def test_an_entry_is_explained(subject, write):
    """What the plan says of it alone, and where it is declared."""
    file = write("vmtune.yaml", ENTRIES)
    done = vmtune("--config", file, "explain", subject)
    assert done.returncode == 0, done.stderr
    assert f"declared at {file}:2:16\n" in done.stdout
    assert "= nocow /proc/vm   not applicable: on proc" in done.stdout
    assert "/proc/it" not in done.stdout


@pytest.mark.parametrize(
    ("subject", "hint"),
    [
        ("nocow[/proc/vn]", "declares nothing at /proc/vn\n    did you mean /proc/vm?"),
        ("mount[/proc/vm]", "declares no mount at /proc/vm\n    did you mean nocow /proc/vm?"),
        ("/nothing", "declares nothing at /nothing\n    `vmtune plan` shows the entries"),
        ("/proc/vm/a.raw", "/proc/vm/a.raw is not there\n    `vmtune status` names"),
    ],
)
def test_an_entry_that_is_not_there(subject, hint, write):
    done = vmtune("--config", write("vmtune.yaml", ENTRIES), "explain", subject)
    assert (done.returncode, done.stdout) == (64, "")
    assert hint in done.stderr


# --- Explain a word ---


@pytest.mark.parametrize(
    ("subject", "hint"),
    [
        ("V2051", "did you mean V205?"),
        ("nocw", "did you mean nocow?"),
        ("segment", "did you mean segments?"),
        ("V999", "name a code, a kind or a path; `vmtune explain --list` shows which"),
        ("pool", "name a code, a kind or a path; `vmtune explain --list` shows which"),
    ],
)
def test_only_what_is_close_is_suggested(subject, hint):
    done = vmtune("explain", subject, COLUMNS="80")
    assert (done.returncode, done.stdout) == (64, "")
    assert done.stderr == f"vmtune: nothing is known of {subject!r}\n    {hint}\n"


def test_nothing_to_explain_is_wrong_usage():
    done = vmtune("explain")
    assert (done.returncode, done.stdout) == (64, "")
    assert "name a code, a kind or a path, or say --list" in done.stderr


@pytest.mark.parametrize("columns", [40, 60, 200])
def test_all_that_can_be_explained_is_listed(columns):
    lines = on_terminal(columns, "explain", "--list").splitlines()
    assert max(map(len, lines)) <= columns
    names = [line.split()[0] for line in lines if line[:1].strip()]
    assert names == [*(kind.name for kind in KINDS), *TOPICS, *CODES]
    assert any(line.startswith("V209  The line shows a directory") for line in lines)
