"""The how-to's three steps, done by vmtune for a new user: install, plan, apply, reboot."""

import re
from dataclasses import dataclass

import pytest

from tests.host import installed
from tests.host.container import EXT4_FSTAB, HOW_TO_FSTAB, ZSTD_FSTAB, Container
from tests.host.installed import ALICES, Done

CONFIG = "/home/alice/.config/vmtune/vmtune.yaml"
IMAGES = "/home/alice/libvirt/images"
APPLY = f"sudo {ALICES} --config ~/.config/vmtune/vmtune.yaml apply"


def new_host(make_container, wheelhouse, fstab):
    """A host on which alice has installed vmtune and written down the how-to."""
    container = make_container(fstab=fstab)
    installed.for_alice(container, wheelhouse)
    container.write(CONFIG, installed.HOW_TO, user="alice")
    return container


@dataclass
class Story:
    """What was seen on the way. Afterwards the host has been rebooted."""

    host: Container
    planned: Done
    alone: Done
    refused: Done
    untouched: bool
    fstab: list[bytes]
    applied: Done
    live: list[str]
    planned_again: Done
    applied_again: Done
    changed_again: list[str]


@pytest.fixture(scope="module", params=["how-to, sudo, asked", "zstd, by itself, --yes"])
def story(request, make_container, wheelhouse):
    asked = request.param == "how-to, sudo, asked"
    host = new_host(make_container, wheelhouse, HOW_TO_FSTAB if asked else ZSTD_FSTAB)
    answer = (APPLY, "yes\n") if asked else (f"{ALICES} apply --yes", "")
    fresh = installed.state(host, "/etc", "/home/alice")
    planned = host.run(f"{ALICES} plan", user="alice", check=False)
    alone = host.run(f"{ALICES} apply --yes", user="alice", check=False)
    untouched = installed.state(host, "/etc", "/home/alice") == fresh
    installed.let_alice_sudo(host)
    fresh = installed.state(host, "/etc", "/home/alice")
    refused = host.run(APPLY, user="alice", tty=True, input="y\n", check=False)
    untouched = untouched and installed.state(host, "/etc", "/home/alice") == fresh
    fstab = [host.read("/etc/fstab")]
    applied = host.run(answer[0], user="alice", tty=True, input=answer[1], check=False)
    fstab.append(host.read("/etc/fstab"))
    before = installed.state(host, "/etc", "/home/alice")
    live = installed.live(host, "/")
    planned_again = host.run(f"sudo {ALICES} plan --detailed-exitcode", user="alice", check=False)
    applied_again = host.run(f"{APPLY} --yes", user="alice", tty=True, check=False)
    changed = sorted(set(before) ^ set(installed.state(host, "/etc", "/home/alice")))
    host.reboot()
    return Story(
        host=host,
        planned=planned,
        alone=alone,
        refused=refused,
        untouched=untouched,
        fstab=fstab,
        applied=applied,
        live=live,
        planned_again=planned_again,
        applied_again=applied_again,
        changed_again=changed,
    )


def test_alice_plans_without_root(story):
    assert story.planned.returncode == 0
    assert not story.planned.stderr
    shown = story.planned.stdout
    head = "host vmtune-test \u00b7 config ~/.config/vmtune/vmtune.yaml \u00b7 read only"
    assert shown.splitlines()[0] == head
    assert "+ nocow ~/libvirt/images" in shown
    assert "\n~ mount / " in shown
    assert "\n+ defrag ~/libvirt/images " in shown
    assert "4 to change" in shown
    assert "Needs root. No reboot." in shown
    assert "`apply` asks it before it writes" in " ".join(shown.split())


def test_apply_without_root_names_the_way(story):
    assert story.alone.returncode == 1
    assert "sudo" in story.alone.stderr
    assert f"--config {CONFIG}" in story.alone.stderr


def test_only_yes_is_yes(story):
    assert story.refused.returncode == 1
    assert "Only `yes` does it" in story.refused.stdout
    assert "nothing was changed" in story.refused.stdout
    assert story.untouched


def test_apply_does_what_it_showed(story):
    assert story.applied.returncode == 0, story.applied.stdout
    done = {(str(number), "4") for number in range(1, 5)}
    assert set(re.findall(r"\[(\d+)/(\d+)\].*\bdone\b", story.applied.stdout)) == done
    assert "verified: 4 of 4 read back as planned" in story.applied.stdout


def test_one_field_of_one_line_of_fstab_changed(story):
    before, after = (data.split(b"\n") for data in story.fstab)
    assert len(before) == len(after)
    [(old, new)] = [pair for pair in zip(before, after, strict=True) if pair[0] != pair[1]]
    fields = list(zip(old.split(), new.split(), strict=True))
    [(_, options)] = [pair for pair in fields if pair[0] != pair[1]]
    was_on = b"zstd" in old
    in_place, added = b"defaults,compress=no,subvol=@rootfs", b"defaults,subvol=@rootfs,compress=no"
    assert options == (in_place if was_on else added)


def test_compression_is_off_at_once_and_after_a_reboot(story):
    assert story.host.run("findmnt -no FSROOT /").stdout == "/@rootfs\n"
    assert not [x for x in story.live if x.startswith("compress")]
    assert not [x for x in installed.live(story.host, "/") if x.startswith("compress")]


def test_new_images_are_nocow_and_hers(story):
    host = story.host
    assert "C" in host.run(["lsattr", "-d", IMAGES]).stdout.split()[0]
    assert host.run(["stat", "-c", "%U:%G %a", IMAGES]).stdout == "alice:alice 711\n"
    assert host.run("stat -c %U:%G ~alice/libvirt").stdout == "alice:alice\n"
    host.run("head -c 1M /dev/urandom >~/libvirt/images/disk.img", user="alice")
    assert "C" in host.run(["lsattr", f"{IMAGES}/disk.img"]).stdout.split()[0]


def test_root_has_no_images(story):
    assert story.host.run(["test", "-e", "/root/libvirt"], check=False).returncode


def test_the_timer_is_there_and_survives_the_reboot(story):
    timers = story.host.run("systemctl list-timers --no-pager").stdout
    [line] = [x for x in timers.splitlines() if "vmtune-defrag-home-alice-libvirt-images" in x]
    assert " 12:00:00 " in line
    assert not installed.failed(story.host)


def test_then_everything_is_in_sync(story):
    assert story.planned_again.returncode == 0
    assert "Nothing to do: 3 in sync." in story.planned_again.stdout


def test_a_second_apply_changes_nothing_at_all(story):
    assert story.applied_again.returncode == 0
    assert story.changed_again == []


def test_in_sync_after_a_reboot_too(story):
    for command in (f"sudo {ALICES}", ALICES):
        done = story.host.run(f"{command} plan --detailed-exitcode", user="alice", check=False)
        assert done.returncode == 0, done.stdout


def test_the_fstab_of_before_is_kept(story):
    assert story.host.read("/var/lib/vmtune/fstab.before") == story.fstab[0]


def test_no_unit_is_left_of_another_systemd(story):
    assert story.host.run("systemctl is-system-running").stdout == "running\n"


def test_on_ext4_nothing_applies_and_nothing_fails(make_container, wheelhouse):
    host = new_host(make_container, wheelhouse, EXT4_FSTAB)
    installed.let_alice_sudo(host)
    before = installed.state(host, "/etc", "/home/alice")
    for command in (f"{ALICES} plan --detailed-exitcode", f"{APPLY} --yes"):
        done = host.run(command, user="alice", check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Nothing to do: 3 not applicable." in done.stdout
        assert done.stdout.count("not applicable: ") == 3
    assert installed.state(host, "/etc", "/home/alice") == before
