"""The commands and the YAML of the pages that users read."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "README.pt-BR.md", *sorted(ROOT.glob("docs/*.md"))]

OTHERS = ("fleets.md", "dotfiles.md", "systems.md")
"""Pages whose commands are run where what they speak of is tested: fleets, virtual machines."""

_FENCE = re.compile(r"(?ms)^```(\w*)\n(.*?)^```$")
_INDENTED = re.compile(r"(?m)^(?: {4}.*\n)+")
_INLINE = re.compile(r"`([^`\n]+)`")
_PROGRAMS = ("vmtune", "make", "pipx", "uv", "uvx", "sudo", "apt", "apt-get", "git", "cd")


@dataclass(frozen=True, slots=True)
class Block:
    """A block of code: its language, and its text."""

    language: str
    text: str


def blocks(page: Path) -> list[Block]:
    """Return the blocks of a page in their order; an indented one has no language."""
    text = page.read_text(encoding="utf-8")
    found = [(m.start(), Block(m[1], m[2])) for m in _FENCE.finditer(text)]
    fenced = [range(m.start(), m.end()) for m in _FENCE.finditer(text)]
    for m in _INDENTED.finditer(text):
        if not any(m.start() in span for span in fenced):
            found += [(m.start(), Block("", re.sub("(?m)^ {4}", "", m[0])))]
    return [block for _, block in sorted(found, key=lambda pair: pair[0])]


def shell(page: Path) -> list[str]:
    """Return the lines of the blocks that are marked as a shell's."""
    text = "".join(block.text for block in blocks(page) if block.language == "sh")
    return [line for line in text.splitlines() if line.strip()]


def inline(page: Path) -> Iterator[str]:
    """Yield the commands that stand within a sentence or a table."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    for span in _INLINE.findall(text):
        for command in span.replace("\\|", "|").split(" && "):
            if command.split()[0] in _PROGRAMS and " " in command:
                yield command


def indented(page: Path) -> Iterator[str]:
    """Yield the commands in blocks without a language."""
    for block in blocks(page):
        if not block.language:
            lines = block.text.replace("\\\n", "").splitlines()
            yield from (line for line in lines if line.split()[:1] and line.split()[0] in _PROGRAMS)


def calls(line: str) -> Iterator[list[str]]:
    """Yield the words of each call of vmtune in a line; of an ENTRY in a synopsis as well."""
    lexer = shlex.shlex(re.sub(r"[][]|\.\.\.", "", line), posix=True, punctuation_chars=";&|<>()")
    lexer.whitespace_split = True
    words: list[str] = []
    for word in [*lexer, ";"]:
        if set(word) <= set(";&|<>()"):
            while words and (words[0] == "sudo" or "=" in words[0]):
                words.pop(0)
            if words and words[0].rpartition("/")[2] == "vmtune":
                yield words[1:]
            words = []
        else:
            words.append(word)


def is_synopsis(line: str) -> bool:
    """Tell a command with a placeholder, or a bare name within a sentence, from one to type."""
    if re.search(r"\[|\b(?:PATH|PLAN|RUN|FILE|ENTRY|CODE|SHELL|SIZE|NAME)\b", line):
        return True
    return line in {"vmtune defrag", "pipx install", "pipx run", "uv tool", "sudo -n"}


def in_container(page: Path) -> list[str]:
    """Return what is typed in a container, in this order: the blocks, then what sentences name.

    What a sentence names is typed once, for the first page that names it.
    """
    if page.name in OTHERS:
        return []
    before = {x for earlier in PAGES[: PAGES.index(page)] for x in commands(earlier)}
    once = [x for x in (*indented(page), *inline(page)) if x not in before]
    lines = dict.fromkeys([*shell(page), *once])
    return [x for x in lines if x not in {**ELSEWHERE, **NOT_RUN} and not is_synopsis(x)]


def commands(page: Path) -> list[str]:
    """Return every command that a page names; none of a page of OTHERS."""
    if page.name in OTHERS:
        return []
    return [*shell(page), *indented(page), *inline(page)]


def of_others(page: Path) -> Iterator[str]:
    """Yield what a page names of other programs: what looks like a name with arguments.

    Pages of reasons are left out: they name what was weighed, and give nobody anything to type.
    """
    if page.name in ("design.md", "performance.md", "codes.md"):
        return
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    blocks_here = (block for block in blocks(page) if not block.language)
    lines = [line for block in blocks_here for line in block.text.splitlines()]
    for words in [*_INLINE.findall(text), *lines]:
        if re.match(r"[a-z][a-z0-9._-]* ", words) and words.split()[0] not in _PROGRAMS:
            yield words


# --- which commands are run, and where
ELSEWHERE = {
    "make demo": (".ci/run", "make demo"),
    "make test": (".ci/run", "make test"),
    "make unit": ("Makefile", "--jobs=3 --keep-going BESIDE=yes btrfs host unit"),
    "make man": ("tests/house/test_manual.py", "make man"),
    "make codes": ("tests/house/test_manual.py", "make codes"),
    "make validator": ("tests/house/test_generated.py", "make validator"),
    "make pictures": ("tests/btrfs/commands/test_pictures.py", '".ci", "picture"'),
    "make deb": ("tests/packages/debs.py", ".ci/deb"),
    "make dist": ("tests/packages/test_dist.py", ".ci/dist"),
    "apt-get install make git": (".ci/run", "apt-get install -y"),
    'sudo systemd-run "$(command -v vmtune)" --config /etc/vmtune/vmtune.yaml apply --yes --wait': (
        "tests/host/test_vmtune_guests.py",
        "systemd-run --unit=waits --no-block",
    ),
    "sudo apt purge vmtune": ("tests/packages/test_deb.py", "purge"),
    "sudo systemctl enable --now vmtune-status.timer": (
        "tests/packages/test_deb.py",
        "systemctl enable --now vmtune-status.timer",
    ),
    "sudo apt install --reinstall ./dist/vmtune_0.1.0_all.deb": (
        "tests/packages/test_deb.py",
        "apt-get install --reinstall --yes",
    ),
    "sudo apt install ./dist/vmtune_0.1.0_all.deb": (
        "tests/packages/test_deb.py",
        "apt-get install --yes",
    ),
    "uv tool install --reinstall .": ("tests/packages/test_dist.py", '"install", "--reinstall"'),
    "uv tool update-shell": ("tests/packages/test_dist.py", '"tool", "update-shell"'),
    "uv tool uninstall vmtune": ("tests/packages/test_dist.py", '"tool", "uninstall"'),
    "uv tool install vmtune": ("tests/packages/test_dist.py", '"tool", "install", "vmtune"'),
    "uvx vmtune plan": ("tests/packages/test_dist.py", 'tool("uvx"), "vmtune"'),
    "pipx install vmtune": ("tests/packages/test_dist.py", "def test_pipx_installs_it"),
    "pipx run vmtune plan": ("tests/packages/test_dist.py", "def test_pipx_runs_it"),
}
"""Commands that another test runs: its file, and words of it."""
SYNOPSES = {
    "vmtune completion SHELL": ("tests/unit/cli/test_cli.py", 'vmtune("completion", shell)'),
    "vmtune help [COMMAND]": ("tests/unit/cli/test_meant.py", 'vmtune("help", name)'),
}
"""Lines with a placeholder whose command no page has without one: what runs it."""
NOT_RUN = {
    "git clone https://example.org/vmtune": "there is no such page yet",
    "git pull": "there is no such page yet",
    "cd vmtune": "it changes the directory of a shell",
    "make bench": "it takes 20 minutes",
    "make packages": "it is the tier tests/packages, which needs the packages of Debian",
    "sudo systemctl edit vmtune-status.service": "it opens an editor",
    'vmtune status --json | jq --raw-output --from-file /usr/share/vmtune/metrics.jq >"$at.$$"': (
        "tests/packages/test_monitoring.py gives the filter to node_exporter"
    ),
    "at=/var/lib/prometheus/node-exporter/vmtune.prom": "as above",
    'mv "$at.$$" "$at"': "as above",
}
"""Commands that no test runs, and why."""

_ANSIBLE = "tests/fleet/test_ansible.py"
OF_OTHERS = {
    "chattr +C": ("tests/host/test_vmtune_callers.py", "chattr +C"),
    "chattr -i": ("tests/btrfs/images/test_rewrite_reasons.py", '"chattr", "-i"'),
    "btrfs filesystem df": ("tests/host/test_vmtune_raid1.py", '"btrfs", "filesystem", "df"'),
    "btrfs filesystem defragment -r": (
        "tests/btrfs/engine/test_said_of_the_kernel.py",
        '"filesystem", "defragment", "-r"',
    ),
    "btrfs send": ("tests/btrfs/engine/test_said_of_the_kernel.py", '"btrfs", "send"'),
    "btrfs check": ("tests/vm/test_disks.py", '"btrfs", "check"'),
    "btrfs device stats": ("tests/vm/test_walk.py", '"btrfs", "device", "stats"'),
    "btrfs scrub start": ("tests/btrfs/nocow/test_whole.py", '"btrfs", "scrub", "start"'),
    "systemctl daemon-reload": ("tests/host/test_vmtune_status.py", '"systemctl", "daemon-reload"'),
    "systemctl --failed": ("tests/host/installed.py", '"list-units", "--failed"'),
    "tar --one-file-system": (
        "tests/btrfs/subvolume/test_subvolume_beyond.py",
        '"tar", "--one-file-system"',
    ),
    "virsh managedsave": ("tests/host/test_vmtune_suspended.py", "{VIRSH} managedsave "),
    "virsh start": ("tests/host/test_vmtune_suspended.py", "{VIRSH} start "),
    "loginctl enable-linger": ("tests/host/test_vmtune_suspended.py", "loginctl enable-linger"),
    "stow -D": ("tests/fleet/test_dotfiles.py", '"-D"'),
    "chmod +x": ("tests/fleet/test_dotfiles.py", 'mode="755"'),
    "ansible-doc vmtune.vmtune.vmtune": (_ANSIBLE, '"ansible-doc", "vmtune.vmtune.vmtune"'),
    "ansible-galaxy collection build integrations/ansible": (
        "tests/fleet/playing.py",
        '"ansible-galaxy", "collection", "build"',
    ),
    "ansible-galaxy collection install vmtune-vmtune-0.1.0.tar.gz": (
        "tests/fleet/playing.py",
        '"ansible-galaxy", "collection", "install"',
    ),
    "ansible-playbook --inventory inventory.ini --check --diff site.yml": (
        _ANSIBLE,
        'play(ROLE, "--check", "--diff")',
    ),
    "ansible-playbook --inventory inventory.ini site.yml": (_ANSIBLE, "play(ROLE)"),
    "ansible-playbook --inventory inventory.ini vmtune.vmtune.save_plans": (
        _ANSIBLE,
        'play("vmtune.vmtune.save_plans"',
    ),
    "ansible-playbook --inventory inventory.ini vmtune.vmtune.apply_plans -e vmtune_serial=1": (
        _ANSIBLE,
        '"vmtune.vmtune.apply_plans", "-e", "vmtune_serial=1"',
    ),
    "pyinfra inventory.py deploy.py": (
        "tests/fleet/test_others.py",
        '"inventory.py", "deploy.py"',
    ),
    "journalctl --unit vmtune-status.service": (
        "tests/packages/test_deb.py",
        "journalctl --unit {UNIT}",
    ),
    "journalctl VMTUNE_ENTRY='nocow /srv/vms'": ("tests/fleet/test_journal.py", "VMTUNE_NAME="),
    "check_vmtune --config FILE": (
        "tests/packages/test_deb.py",
        '"/usr/lib/vmtune/check_vmtune", "--config"',
    ),
    "twine check --strict": (".ci/dist", "check --strict"),
    "nix-instantiate --parse": ("tests/packages/test_others.py", '"nix-instantiate", "--parse"'),
}
"""Commands of other programs that a test runs: its file, and words of it."""
OF_OTHERS_NOT_RUN = {
    "man vmtune": "packages check that the page is where man looks",
    "man vmtune.yaml": "as above",
    "rsync -x": "tar --one-file-system stands for all of its kind",
    "chmod go-w": "trusted files are tested by their modes",
    "less plans/*.txt": "a pager",
    "python -m tests.fleet.cost": "it measures for minutes",
    "pyinfra inventory.py exec --sudo -- vmtune plan": "as deploy.py, with another command",
    "journalctl --unit vmtune-status.service --priority warning": "as the one without --priority",
    "journalctl VMTUNE_EVENT=end VMTUNE_OUTCOME=failed --output json": "as VMTUNE_NAME",
}
"""Commands of other programs that no test runs, and why."""
NO_COMMANDS = {
    "not applicable", "already so", "changed since the plan", "not done", "nocow /srv/vms",
    "no vmtune.yaml: looked for ...", "defragment -r", "plan --detailed-exitcode",
    "apply PLAN", "apply --wait", "nagios ALL=(root) NOPASSWD: /usr/lib/vmtune/check_vmtune",
}  # fmt: skip
"""Words that only look like a command of another program."""
