"""Each command of the documentation, typed by alice on a booted host that has what it speaks of."""

import subprocess

import pytest

from tests import documents
from tests.documents import PAGES, ROOT
from tests.host import installed, wheels

README = PAGES[0]
CONFIG = "/home/alice/.config/vmtune/vmtune.yaml"
FIRST = next(x.text for x in documents.blocks(README) if x.language == "yaml")
TYPED = [page for page in PAGES if documents.in_container(page)]

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
EXITS = {
    "sudo vmtune": {1},  # that sudo does not find it, is what is said there
    "sudo ~/.local/bin/vmtune status": {0, 2},
    "vmtune apply": {0, 7},  # 7 where the file that init wrote leaves images as they are
    "vmtune doctor": {0, 6},
    "vmtune doctor --json": {0, 6},
    **{f"vmtune status{x}": {0, 2, 6} for x in ("", " --short", " --quiet", " --json")},
    "vmtune status --html ~/vmtune.html": {0, 2, 6},
}
"""The page says what the exit codes mean; elsewhere it is 0."""


@pytest.fixture(scope="module")
def host(container, wheelhouse, tmp_path_factory):
    """Alice has a checkout, as she would have cloned it; README begins with its installation."""
    wheels.offer(container, wheelhouse)
    installed.let_alice_sudo(container)
    checkout = tmp_path_factory.mktemp("checkout")
    files = "git ls-files -z --cached --others --exclude-standard"
    subprocess.run(
        ["sh", "-c", f'{files} | xargs -0 cp --parents --no-dereference -t "$0"', checkout],
        cwd=ROOT,
        check=True,
    )
    container.push(checkout, "/home/alice/vmtune")
    container.run("chown -R alice: /home/alice/vmtune")
    for line in ("pipx install --force .", "pipx ensurepath"):
        typed(container, line)
    return container


def typed(host, line):
    """As at a terminal, in a shell that has read what a login reads; who is asked says yes."""
    folder = "~/vmtune" if line.startswith("pipx") else "~"
    words = ["bash", "-lc", f"cd {folder}\n{line}"]
    asks = line in {"vmtune apply", "vmtune revert"}
    done = host.run(words, user="alice", tty=asks, input="yes\n" if asks else "", check=False)
    assert done.returncode in EXITS.get(line, {0}), f"{line}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stdout + done.stderr
    return done.stdout


def declared(page):
    """The first whole file of a page; README's where there is none, or init writes it."""
    found = [x.text for x in documents.blocks(page) if x.language == "yaml"]
    return next((text for text in found if text.startswith("version: 1\n")), FIRST)


@pytest.mark.parametrize("page", TYPED, ids=lambda page: str(page.relative_to(ROOT)))
def test_its_commands_work(host, page):
    lines = documents.in_container(page)
    host.run(["bash", "-c", LIBVIRT], user="alice")
    if not any("init -o" in line for line in documents.shell(page)):
        host.write(CONFIG, declared(page).encode(), user="alice")
    for line in lines:
        if "uninstall" not in line:
            typed(host, line)
    host.write(CONFIG, b"version: 1\n", user="alice")
    typed(host, "vmtune apply")
    assert not installed.failed(host)
    assert host.run("ls /etc/systemd/system/vmtune-*", check=False).stdout == ""
    host.run("btrfs subvolume delete /home/alice/libvirt/images 2>&1 || true")


def test_it_is_removed(host):
    typed(host, "pipx uninstall vmtune")
    assert host.run("ls ~/.local/bin/vmtune", user="alice", check=False).stdout == ""
