"""Mount options on a real root: fstab, the live filesystem, and what systemd makes of them."""

import pytest

from tests.host import installed, wheels
from tests.host.installed import Root
from tests.oracles import oracle

HOME = 'mounts:\n  - {target: /home, options: {compress: "zstd:1", noatime: true}}'
ROOT = "mounts:\n  - {target: /, options: {compress: %s}}"

# A subvolume of the root's own filesystem at /home. The generator skips fstab lines of device
# nodes in containers, and only those: hence the link.
_HOME = """
ln -s "$(findmnt -vno SOURCE /)" /disk
mount -o subvolid=5 /disk /mnt
btrfs subvolume create /mnt/@home
umount /mnt
echo '/disk /home btrfs defaults,subvol=@home 0 0' >>/etc/fstab
systemctl daemon-reload
systemctl start home.mount
"""


@pytest.fixture(scope="module")
def host(container, wheelhouse):
    wheels.install(container, wheelhouse)
    container.run(_HOME)
    container.write("/root/fstab", container.read("/etc/fstab"))
    return container


@pytest.fixture
def root(host):
    """As booted from the how-to's line, and a second line for /home."""
    yield Root(host)
    host.run(
        "rm -rf /var/lib/vmtune; cat /root/fstab >/etc/fstab; rm -f /etc/systemd/system/home.mount"
    )
    host.run("systemctl daemon-reload; mount -o remount,relatime,exec,compress=no /home")


def reloads(host):
    """How many times systemd has read its files anew."""
    return host.run("journalctl -q -b -o cat _PID=1 | grep -c '^Reloading[.]'", check=False).stdout


def compression(host):
    """By the kernel's words for each mount of the filesystem."""
    options = [*installed.live(host, "/"), *installed.live(host, "/home")]
    return [option for option in options if option.startswith("compress")]


def test_fstab_kernel_and_systemd_all_have_it(root):
    host = root.container
    before = int(reloads(host))
    root.apply(HOME)
    assert compression(host) == ["compress=zstd:1", "compress=zstd:1"]
    assert "noatime" in installed.live(host, "/home")
    assert "relatime" in installed.live(host, "/")
    unit = host.read("/run/systemd/generator/home.mount").decode()
    assert "\nOptions=defaults,subvol=@home,compress=zstd:1,noatime\n" in unit
    assert installed.shown(host, "home.mount", "NeedDaemonReload") == "no"
    assert int(reloads(host)) == before + 1
    root.apply(HOME)
    assert int(reloads(host)) == before + 1


def test_home_is_told_that_the_line_of_root_decides(root):
    root.declare(HOME)
    shown = " ".join(root.vmtune("plan").stdout.split())
    assert "also /: one compression setting for the whole filesystem" in shown
    assert "other fstab lines of this filesystem: / (line 1): no compress option" in shown
    assert (
        "decided by /etc/fstab:1, the line of / (it names no compression), not by this line"
        in shown
    )


def test_an_fstab_that_nixos_made_is_left_alone_and_so_is_the_live_mount(root):
    """A link into the store, which the next switch to another generation replaces."""
    host, made = root.container, "/nix/store/0abc-etc-fstab"
    host.run(f"mkdir -p /nix/store; cp -p /etc/fstab {made}; ln -sf {made} /etc/fstab")
    try:
        root.declare(HOME)
        before = installed.state(host, "/nix", "/etc"), installed.live(host, "/home")
        done = root.vmtune("apply", "--yes")
        assert done.returncode == 7, done.stdout + done.stderr
        assert f"/etc/fstab is {made}, which is made by NixOS" in " ".join(done.stdout.split())
        assert "V210" in done.stdout
        assert (installed.state(host, "/nix", "/etc"), installed.live(host, "/home")) == before
    finally:
        host.run("rm -rf /nix /etc/fstab; cp /root/fstab /etc/fstab")


def test_flags_that_only_the_live_mount_has_stay(root):
    """As mount(8) would not have it: a remount by it takes the flags of fstab."""
    host = root.container
    host.run("mount --options-source=disable -o remount,bind,noexec,noatime /home")
    assert {"noexec", "noatime"} <= set(installed.live(host, "/home"))
    root.apply(ROOT % "lzo")
    assert compression(host) == ["compress=lzo", "compress=lzo"]
    assert {"noexec", "noatime"} <= set(installed.live(host, "/home"))


def test_two_values_for_one_filesystem_are_refused(root):
    """Compression is one setting: / and /home cannot differ."""
    root.declare(HOME + (ROOT % "no").removeprefix("mounts:"))
    for command in ("plan", "apply --yes"):
        done = root.vmtune(*command.split())
        assert done.returncode == 1
        assert "one and the same place" in done.stderr
    assert not compression(root.container)


def test_a_reload_alone_is_noticed_and_done(root):
    """The line is as declared and so is the live mount, but systemd was not told."""
    host = root.container
    root.apply(HOME)
    host.run("touch -d '+2 seconds' /etc/fstab")
    assert installed.shown(host, "home.mount", "NeedDaemonReload") == "yes"
    before = int(reloads(host))
    assert root.differs()
    root.apply(HOME)
    assert int(reloads(host)) == before + 1
    assert installed.shown(host, "home.mount", "NeedDaemonReload") == "no"


@oracle("systemctl", "V204: hides the line in /etc/fstab", "V204: sets Options=", "V511")
def test_a_unit_that_hides_the_line_is_refused(root):
    """systemd.unit(5): a file of that name in /etc takes the place of the generated one."""
    host = root.container
    unit = b"[Mount]\nWhat=/disk\nWhere=/home\nType=btrfs\nOptions=subvol=@home\n"
    host.write("/etc/systemd/system/home.mount", unit)
    root.declare(HOME)
    before = installed.state(host, "/etc")
    done = root.vmtune("apply", "--yes")
    assert done.returncode == 7
    assert "V204" in done.stdout
    assert "/etc/systemd/system/home.mount" in done.stdout
    assert installed.state(host, "/etc") == before
    assert not compression(host)
    host.run("systemctl daemon-reload")
    used = installed.shown(host, "home.mount", "FragmentPath")
    assert used == "/etc/systemd/system/home.mount", "systemd never reads the options of the line"
    host.run("rm /etc/systemd/system/home.mount; mkdir /etc/systemd/system/home.mount.d")
    host.write(
        "/etc/systemd/system/home.mount.d/own.conf", b"[Mount]\nOptions=subvol=@home,noatime\n"
    )
    host.run("systemctl daemon-reload; systemctl restart home.mount")
    assert "own.conf sets Options=" in " ".join(root.vmtune("plan").stdout.split())
    assert "noatime" in installed.live(host, "/home"), "which the line does not say"
    host.run("rm -r /etc/systemd/system/home.mount.d")


FSTABS = {
    "tabs, comments, no newline": "# top\n\n{first}\t/\tbtrfs\tsubvol=@rootfs,rw\t0\t0\t# end",
    "CRLF": "{first} / btrfs defaults,subvol=@rootfs 0 0\r\n",
    "quoted UUID": "{quoted} / btrfs subvol=@rootfs 0 0\n",
    "a device": "/dev/disk/by-uuid/{uuid} / btrfs subvol=@rootfs,compress-force=lzo 0 0\n",
    "auto": "{first} / auto compress,subvol=@rootfs,compress=zstd:15 0 0\n",
}


@pytest.mark.parametrize("text", FSTABS.values(), ids=FSTABS)
def test_fstab_lines_that_people_have(root, text):
    host, uuid = root.container, root.container.uuid
    text = text.format(first=f"UUID={uuid}", quoted=f'UUID="{uuid}"', uuid=uuid)
    host.write("/etc/fstab", text.encode())
    root.apply(ROOT % "zstd:2")
    after = host.read("/etc/fstab").decode()
    assert after.count("compress") == 1
    assert after.replace(",compress=zstd:2", "").replace("compress=zstd:2,", "") == (
        text.replace(",compress-force=lzo", "")
        .replace("compress,", "")
        .replace(",compress=zstd:15", "")
    )
    host.run("systemctl daemon-reload")
    host.run("mount -o remount /")
    assert compression(host) == ["compress=zstd:2", "compress=zstd:2"]
    assert installed.shown(host, "systemd-remount-fs.service", "Result") == "success"


TROUBLE = {
    "two lines": ("{line}{line}", "V202"),
    "no line": ("# nothing\n", "V201"),
    "a blank after the comma": ("UUID={uuid} / btrfs defaults, subvol=@rootfs 0 0\n", "V203"),
}


@pytest.mark.parametrize(("text", "code"), TROUBLE.values(), ids=TROUBLE)
def test_an_fstab_that_must_not_be_touched(root, text, code):
    host = root.container
    line = f"UUID={host.uuid} / btrfs defaults,subvol=@rootfs 0 0\n"
    host.write("/etc/fstab", text.format(line=line, uuid=host.uuid).encode())
    before = installed.state(host, "/etc")
    root.declare(ROOT % "zstd")
    done = root.vmtune("apply", "--yes")
    assert done.returncode == 7
    assert code in done.stdout
    assert installed.state(host, "/etc") == before
    assert not compression(host)
