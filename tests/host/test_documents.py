"""Each command of the documentation, typed by alice on a booted host that has what it speaks of."""

import re

import pytest

from tests import checkout, documents
from tests.documents import PAGES, READ, ROOT, as_typed
from tests.host import installed, wheels

README = PAGES[0]
CONFIG = "/home/alice/.config/vmtune/vmtune.yaml"
FIRST = next(x.text for x in documents.blocks(README) if x.language == "yaml")
WALKED = [page for page in PAGES if set(documents.shell(page)) & set(documents.walked(page))]

# Two images as guests leave them, and one in a directory that stays copy-on-write.
LIBVIRT = """
rm -rf ~/vm.plan ~/vmtune.html ~/.config/vmtune ~/libvirt
mkdir -p ~/.config/vmtune ~/libvirt/images ~/libvirt/cow
for image in images/win11.qcow2 images/debian.raw cow/old.raw; do
  head -c 4M /dev/urandom >~/libvirt/$image
  for block in 3 700 11 500 900 90; do
    dd if=/dev/urandom of=~/libvirt/$image bs=4k seek=$block count=1 conv=notrunc,fsync status=none
  done
done
"""
# What is at hand for the commands that sentences name.
BESIDE = """
mkdir ~/new
btrfs subvolume create ~/sub && btrfs subvolume create ~/old && btrfs property set ~/sub ro true
truncate -s 128M ~/other.img && /sbin/mkfs.btrfs -q ~/other.img
ln -s ~/.config/vmtune/vmtune.yaml ~/vmtune.yaml
sudo btrfs quota enable /
echo 'tmpfs /mnt tmpfs noauto 0 0' | sudo tee -a /etc/fstab
"""
PUT = {
    "btrfs check": "btrfs check ~/other.img",
    "btrfs check --readonly": "btrfs check --readonly ~/other.img",
    "btrfs device stats": "sudo btrfs device stats /",
    "btrfs filesystem defragment -c": "btrfs filesystem defragment -c ~/libvirt/cow/old.raw",
    "btrfs filesystem defragment -r": "btrfs filesystem defragment -r ~/libvirt/cow",
    "btrfs filesystem df": "btrfs filesystem df ~",
    "btrfs filesystem du": "btrfs filesystem du ~/libvirt",
    "btrfs filesystem du -s --raw": "btrfs filesystem du -s --raw ~/libvirt",
    "btrfs qgroup limit": "sudo btrfs qgroup limit none ~/sub",
    "btrfs qgroup limit SIZE PATH": "sudo btrfs qgroup limit 2G ~/sub",
    "btrfs qgroup show -pcre PATH": "sudo btrfs qgroup show -pcre ~/sub",
    "btrfs qgroup show -re PATH": "sudo btrfs qgroup show -re ~/sub",
    "btrfs replace status": "sudo btrfs replace status -1 /",
    "btrfs scrub": "sudo btrfs scrub status /",
    "btrfs scrub start": "sudo btrfs scrub start -B /",
    "btrfs send": "sudo btrfs send -f /dev/null ~/sub",
    "btrfs subvolume delete": "sudo btrfs subvolume delete ~/old",
    "chattr +C": "chattr +C ~/new",
    "chattr -C": "chattr -C ~/new",
    "chattr -i": "sudo chattr -i ~/new",
    "chmod go-w": "chmod go-w ~/vmtune.yaml",
    "diff -r": "diff -r ~/libvirt/images ~/libvirt/images",
    "mount -o remount": "sudo mount -o remount /",
    "mount TARGET": "sudo mount /mnt",
    "mount -a": "sudo mount -a",
    "sudo -n": "sudo -n true",
    "systemctl daemon-reload": "sudo systemctl daemon-reload",
    "systemctl show": "systemctl show cron.service",
    "systemd-analyze calendar": "systemd-analyze calendar 'Sun 03:00'",
    "umount -l": "sudo umount -l /mnt",
    "vmtune --host NAME plan": "vmtune --host atlas plan",
    "vmtune COMMAND --help": "vmtune plan --help",
    "vmtune apply [ENTRY]...": "vmtune apply --yes ~/libvirt/images",
    "vmtune apply PATH": "vmtune apply --yes ~/libvirt/images",
    "vmtune apply PLAN": "vmtune apply --yes ~/vm.plan",
    "vmtune completion SHELL": "vmtune completion zsh",
    "vmtune defrag": "vmtune defrag ~/libvirt/cow",
    "vmtune defrag --scheduled PATH": "vmtune defrag --scheduled ~/libvirt/cow",
    "vmtune defrag PATH...": "vmtune defrag ~/libvirt/cow",
    "vmtune explain CODE": "vmtune explain V702",
    "vmtune explain CODE|KIND|PATH": "vmtune explain segments",
    "vmtune help [COMMAND]": "vmtune help plan",
    "vmtune history [RUN]": "vmtune history 1",
    "vmtune init [-o FILE]": "vmtune init -o ~/.config/vmtune/vmtune.yaml",
    "vmtune measure PATH": "vmtune measure --size 8M --rounds 1 ~/libvirt/images",
    "vmtune plan --config - --as PATH": "vmtune plan --config - --as ~/mine.yaml <~/vmtune.yaml",
    "vmtune plan -o PLAN": "vmtune plan -o ~/vm.plan",
    "vmtune plan [ENTRY]...": "vmtune plan nocow",
    "vmtune revert [RUN]": "vmtune revert --yes",
    "vmtune schema [NAME] [-o FILE]": "vmtune schema host -o ~/.config/vmtune/host.schema.json",
    "vmtune show PLAN": "vmtune show ~/vm.plan",
    "vmtune status [--short|--html FILE]": "vmtune status --html ~/vmtune.html",
    "vmtune validate [FILE]... [--all-hosts]": "vmtune validate --all-hosts",
}
"""The line that is typed for a command which lacks what it is done to."""
SHELL = {line for page in PAGES for line in documents.shell(page)}
SAID = dict.fromkeys(
    as_typed(x, PUT.get(x, "")) for page in READ for x in documents.walked(page) if x not in SHELL
)
EXITS = {
    "sudo vmtune": {1},  # that sudo does not find it, is what is said there
    "sudo ~/.local/bin/vmtune status": {0, 2},
    "vmtune apply": {0, 7},  # 7 where the file that init wrote leaves images as they are
    "vmtune doctor": {0, 6},
    "vmtune doctor --json": {0, 6},
    "vmtune plan --detailed-exitcode": {0, 2, 6},
    **{f"vmtune status{x}": {0, 2, 6} for x in ("", " --short", " --quiet", " --json")},
    "vmtune status --html ~/vmtune.html": {0, 2, 6},
}
"""The page says what the exit codes mean; elsewhere it is 0."""


@pytest.fixture(scope="module")
def host(container, wheelhouse, tmp_path_factory):
    """Alice has a checkout, as she would have cloned it; README begins with its installation."""
    wheels.offer(container, wheelhouse)
    installed.let_alice_sudo(container)
    folder = tmp_path_factory.mktemp("checkout")
    checkout.copy(folder)
    container.push(folder, "/home/alice/vmtune")
    container.run("chown -R alice: /home/alice/vmtune")
    container.write("/etc/vmtune/vmtune.yaml", b"version: 1\n")
    for line in (as_typed("pipx install --force ."), as_typed("pipx ensurepath")):
        enter(container, line)
    return container


def enter(host, line):
    """As at a terminal, in a shell that has read what a login reads; who is asked says yes."""
    folder = "~/vmtune" if line.startswith("pipx") else "~"
    words = ["bash", "-lc", f"cd {folder}\n{line}"]
    asks = bool(re.match(r"vmtune (apply|revert)\b(?!.*--yes)", line))
    done = host.run(words, user="alice", tty=asks, input="yes\n" if asks else "", check=False)
    assert done.returncode in EXITS.get(line, {0}), f"{line}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stdout + done.stderr
    return done.stdout


def declared(page):
    """The first whole file of a page; README's where there is none, or init writes it."""
    found = [x.text for x in documents.blocks(page) if x.language == "yaml"]
    return next((text for text in found if text.startswith("version: 1\n")), FIRST)


@pytest.mark.parametrize("page", WALKED, ids=lambda page: str(page.relative_to(ROOT)))
def test_its_blocks_work(host, page):
    host.run(["bash", "-c", LIBVIRT], user="alice")
    if not any("init -o" in line for line in documents.shell(page)):
        host.write(CONFIG, declared(page).encode(), user="alice")
    for line in documents.shell(page):
        if line in documents.walked(page):
            enter(host, line)
    host.write(CONFIG, b"version: 1\n", user="alice")
    enter(host, "vmtune apply")
    assert not installed.failed(host)
    assert host.run("ls /etc/systemd/system/vmtune-*", check=False).stdout == ""
    host.run("btrfs subvolume delete /home/alice/libvirt/images 2>&1 || true")


@pytest.fixture(scope="module")
def beside(host):
    """The host, with what the commands of sentences are done to."""
    host.run(["bash", "-c", LIBVIRT], user="alice")
    host.write(CONFIG, FIRST.encode(), user="alice")
    host.run(["bash", "-euc", BESIDE], user="alice")
    return host


@pytest.mark.parametrize("line", [line for line in SAID if line not in SHELL])
def test_what_a_sentence_names_works(beside, line):
    enter(beside, line)


def test_the_table_is_of_the_pages():
    """Each command in it is one of theirs, and each that has a placeholder is in it."""
    assert {*PUT} - {x for page in READ for x in documents.walked(page)} == set()
    assert [line for line in SAID if documents.has_placeholder(line)] == []


def test_it_is_removed(host):
    enter(host, as_typed("pipx uninstall vmtune"))
    assert host.run("ls ~/.local/bin/vmtune", user="alice", check=False).stdout == ""
