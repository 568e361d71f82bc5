"""The harness itself: what it boots is a host like any other."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.host import sandbox, wheels
from tests.host.container import Container

# fspick(2), fsconfig(2) with compress=no, and again to reconfigure: a remount with no mount(8).
NEW_MOUNT_API = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
def call(*args):
    done = libc.syscall(*args)
    if done < 0: raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), args[0])
    return done
opened = call(430, b"btrfs", 0)
fd = call(433, -100, b"/", 0)
call(431, fd, 1, b"compress", VALUE, 0)
call(431, fd, 7, None, None, 0)
"""

KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from tests.host import container, sandbox
with container.Container(sandbox.cache_folder()) as host:
    print(host.folder, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def options(container: Container, path: str = "/") -> list[str]:
    return container.run(["findmnt", "-no", "OPTIONS", path]).stdout.strip().split(",")


def appears(container: Container, path: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while container.run(["test", "-e", path], check=False).returncode:
        assert time.monotonic() < deadline, f"{path} did not appear in {seconds} s"
        time.sleep(0.2)


def test_systemd_is_pid_1_and_settled(container):
    assert container.run("cat /proc/1/comm").stdout == "systemd\n"
    assert container.run("systemctl is-system-running").stdout == "running\n"
    assert container.run("stat -fc %T /sys/fs/cgroup").stdout == "cgroup2fs\n"
    assert "Seccomp:\t0\n" in container.run("cat /proc/1/status").stdout


def test_the_root_is_a_real_mount_of_the_subvolume(container):
    shown = container.run("findmnt -no FSTYPE,FSROOT,UUID /").stdout.split()
    assert shown == ["btrfs", "/@rootfs", container.uuid]
    assert "subvol=/@rootfs" in options(container)
    assert not [x for x in options(container) if x.startswith("compress")]


def test_fstab_is_the_how_to_line(container):
    line = f"UUID={container.uuid} / btrfs defaults,subvol=@rootfs 0 0\n"
    assert container.read("/etc/fstab") == line.encode()


def test_zstd_comes_from_fstab_into_the_mount(zstd_container):
    assert "compress=zstd:3" in options(zstd_container)


def test_ext4_root(ext4_container):
    assert ext4_container.run("findmnt -no FSTYPE,FSROOT /").stdout.split() == ["ext4", "/"]
    assert "errors=remount-ro" in options(ext4_container)


def test_a_remount_is_seen_in_mountinfo(container):
    container.run("mount -o remount,compress=zstd /")
    assert "compress=zstd:3" in container.read("/proc/self/mountinfo").decode()
    container.run("mount -o remount,compress=no /")
    assert "compress" not in container.read("/proc/self/mountinfo").decode()


def test_the_new_mount_api_and_flags_are_allowed(container):
    container.run(["python3", "-c", NEW_MOUNT_API.replace("VALUE", 'b"zstd"')])
    assert "compress=zstd:3" in options(container)
    container.run(["python3", "-c", NEW_MOUNT_API.replace("VALUE", 'b"no"')])
    assert not [x for x in options(container) if x.startswith("compress")]
    container.run("mkdir -p /srv/images && chattr +C /srv/images")
    assert "C" in container.run("lsattr -d /srv/images").stdout.split()[0]


def test_a_service_may_do_the_same(container):
    """Timers run services, which unlike run() inherit what PID 1 is denied."""
    code = NEW_MOUNT_API.replace("VALUE", 'b"lzo"')
    container.run(["systemd-run", "--wait", "--quiet", "python3", "-c", code])
    assert "compress=lzo" in options(container)
    container.run("mount -o remount,compress=no /")


def test_a_timer_fires(container):
    unit = "[Service]\nType=oneshot\nExecStart=touch /root/timer-fired\n"
    timer = "[Timer]\nOnCalendar=*:*:0/2\nAccuracySec=100ms\n[Install]\nWantedBy=timers.target\n"
    container.write("/etc/systemd/system/probe.service", unit.encode())
    container.write("/etc/systemd/system/probe.timer", timer.encode())
    container.run("systemctl daemon-reload && systemctl enable --now probe.timer")
    appears(container, "/root/timer-fired", 10)
    container.run("systemctl disable --now probe.timer")


def test_cron_runs(container):
    assert container.run("pgrep --exact cron").stdout
    assert container.run("systemctl is-active cron").stdout == "active\n"


@pytest.mark.parametrize("user", ["root", "alice"])
def test_a_user_has_a_home_and_a_clean_environment(container, monkeypatch, user):
    monkeypatch.setenv("LEAKED", "1")
    home = "/root" if user == "root" else "/home/alice"
    lines = container.run("env; id -un; pwd; tty", user=user, check=False).stdout.splitlines()
    assert lines[-3:] == [user, home, "not a tty"]
    assert f"HOME={home}" in lines
    assert not [x for x in lines if "LEAKED" in x]


def test_alice_at_a_terminal(container):
    seen = container.run(
        "tty; stty size; read x; echo got $x >&2; exit 3",
        user="alice",
        tty=True,
        input="some words\n",
        check=False,
    )
    assert seen.stdout.splitlines()[-3:] == ["/dev/pts/0", "40 100", "got some words"]
    assert seen.returncode == 3


def test_alice_may_not_become_root(container):
    assert container.run("sudo -n true", user="alice", check=False).returncode


def test_files_go_in_and_out(container, tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "data").write_bytes(b"\xff\x00")
    container.push(tmp_path, "/srv/pushed/here")
    assert container.read("/srv/pushed/here/sub/data") == b"\xff\x00"
    container.write("/home/alice/deep/file", b"hers", mode="600", user="alice")
    assert container.run("stat -c %U:%a /home/alice/deep/file").stdout == "alice:600\n"


def test_a_failure_shows_what_was_printed(container):
    with pytest.raises(subprocess.CalledProcessError) as caught:
        container.run("echo the reason >&2; exit 7")
    assert caught.value.returncode == 7
    assert "the reason" in caught.value.__notes__[0]


def test_a_reboot_keeps_the_disk_and_applies_fstab(make_container):
    container = make_container()
    before = container.run("cat /proc/sys/kernel/random/boot_id").stdout
    container.run("sed -i s/defaults/defaults,compress=zstd/ /etc/fstab && touch /run/gone /kept")
    container.reboot()
    assert container.run("cat /proc/sys/kernel/random/boot_id").stdout != before
    assert "compress=zstd:3" in options(container)
    assert container.run("ls /kept /run/gone", check=False).stdout == "/kept\n"


def test_rootflags_make_the_mount_differ_from_fstab(make_container):
    container = make_container(rootflags=["compress=lzo"])
    assert "compress=lzo" in options(container)
    assert b"compress" not in container.read("/etc/fstab")


def test_nothing_is_left_after_an_exception():
    container = Container(sandbox.cache_folder())

    def use() -> None:
        with container:
            container.run("sleep 600 >/dev/null 2>&1 &")
            raise KeyError

    with pytest.raises(KeyError):
        use()
    assert not container.folder.exists()
    assert not [x for x in container._cgroups if x.exists()]
    assert container.folder.name not in sandbox.checked(["losetup", "--list"])


def test_kill_9_leaves_only_files_and_the_next_run_sweeps_them(make_container):
    argv = [sys.executable, "-c", KILLED, str(Path(__file__).parents[2])]
    folder = Path(subprocess.run(argv, stdout=subprocess.PIPE, check=False).stdout.decode().strip())
    assert folder.exists()
    loops = ["losetup", "--list"]
    sandbox.until("the disk", 20, lambda: folder.name not in sandbox.checked(loops))
    make_container()
    assert not folder.exists()


def test_pip_installs_offline_for_an_ordinary_user(container):
    """What is declared can be had; whether the checkout itself installs is not the harness's."""
    checkout = Path(__file__).parents[2]
    wheels.offer(container, wheels.dependencies(sandbox.cache_folder(), checkout))
    container.run("python3 -m venv env && env/bin/pip install cronsim deepdiff", user="alice")
    container.run("env/bin/python -c 'import cronsim, deepdiff'", user="alice")
