"""Tables for cron: what is written, what is read, and what a line defragments."""

from __future__ import annotations

import subprocess

import pytest

from reconciler.formats import calendar
from reconciler.formats.calendar import MARK, is_ours
from reconciler.formats.shell import defragmented
from tests import tiers

BTRFS = ["/usr/bin/btrfs", "filesystem", "defragment", "-r", "/srv/vm"]


def test_file():
    data = calendar.table("for ~/vm", ["0 12 * * *", "5 0 1 * *"], "root", calendar.command(BTRFS))
    command = b"/usr/bin/btrfs filesystem defragment -r /srv/vm"
    assert data.splitlines() == [
        MARK.encode(),
        b"# for ~/vm",
        b"SHELL=/bin/sh",
        b"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        b"0 12 * * * root " + command,
        b"5 0 1 * * root " + command,
    ]
    assert data.endswith(b"\n")
    assert is_ours(data)


@pytest.mark.parametrize(
    ("argument", "written"),
    [
        ("/srv/vm", b"/srv/vm"),
        ("/a b", b"'/a b'"),
        ("50%", rb"50\%"),
        ("/a %", rb"'/a \%'"),
        ("\\\\", rb"'\''\'''"),
        ("\\%", rb"'\''\%'"),
        ("é\udcff", b"'\xc3\xa9\xff'"),
    ],
)
def test_quoting(argument, written):
    data = calendar.table("", ["0 0 * * *"], "root", calendar.command(["/bin/true", argument]))
    assert data.endswith(b" root /bin/true " + written + b"\n")


@pytest.mark.parametrize(
    ("comment", "schedules", "user", "argv"),
    [
        ("a\nb", ["0 0 * * *"], "root", BTRFS),
        ("", ["0 0 * * *\n* * * * *"], "root", BTRFS),
        ("", ["0 0 * * *"], "ro ot", BTRFS),
        ("", ["0 0 * * *"], "", BTRFS),
        ("", ["0 0 * * *"], "root", ["/bin/true", "a\nb"]),
        ("", ["0 0 * * *"], "root", ["/bin/true", "a\0b"]),
        ("", ["0 0 * * *"], "root", ["btrfs"]),
        ("", ["0 0 * * *"], "root", []),
        ("", ["0 0 * * *"], "root", ["/bin/true", "x" * 989]),
    ],
)
def test_file_refuses(comment, schedules, user, argv):
    with pytest.raises(ValueError, match=r"cron|user"):
        calendar.table(comment, schedules, user, calendar.command(argv))


@pytest.mark.parametrize(
    "text",
    [
        "0 12 * * *",
        "*/7,3-9/2 0-23 1,15 jan-mar mon",
        "@weekly",
        "0 0 * * fri-sun",
        "5-5/3 * * * 7",
    ],
)
@pytest.mark.parametrize("length", [1, 988])
def test_crontab_accepts_what_is_written(text, length, tmp_path):
    tiers.judge("crontab", "cron")
    argv = ["/bin/true", "x" * length]
    data = calendar.table("", [calendar.parse(text).cron], "root", calendar.command(argv))
    # crontab(1) reads users' tables: the same lines without the user.
    (tmp_path / "table").write_bytes(data.replace(b" root ", b" "))
    command = ["crontab", "-n", str(tmp_path / "table")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


TABLE = (
    rb"""# comment
  # comment
SHELL=/bin/bash
 MAILTO = "a b"
'quoted name'=x
"0 0 * * * x"=y

0 12 * * * btrfs fi defrag /a
  */5	1-2  *	jan mon-fri 	command  with	blanks
@daily a=b true
@reboot echo \%Y%input%more
5 0 * * * echo \\%x \n \\\%
nonsense line of more than five words
* * * * *
*/5 * * * * """
    b"\xff\xc3\xa9\r\n0 0 * * * last"
)


def test_parse():
    assert calendar.parse_table(TABLE, system=False) == (
        calendar.CronJob(8, "0 12 * * *", "", "btrfs fi defrag /a"),
        calendar.CronJob(9, "*/5 1-2 * jan mon-fri", "", "command  with\tblanks"),
        calendar.CronJob(10, "@daily", "", "a=b true"),
        calendar.CronJob(11, "@reboot", "", "echo %Y"),
        calendar.CronJob(12, "5 0 * * *", "", "echo \\"),
        calendar.CronJob(15, "*/5 * * * *", "", "\udcffé\r"),
        calendar.CronJob(16, "0 0 * * *", "", "last"),
    )


def test_parse_a_system_table():
    table = b"17 * * * *\troot  cd / && run-parts\n@daily u x\n0 0 * * * nocommand\n"
    assert calendar.parse_table(table, system=True) == (
        calendar.CronJob(1, "17 * * * *", "root", "cd / && run-parts"),
        calendar.CronJob(2, "@daily", "u", "x"),
    )


DEFRAGMENTED = [
    # abbreviations: as btrfs takes them
    ("btrfs filesystem defragment /a", ["/a"]),
    ("btrfs fi defrag /a", ["/a"]),
    ("btrfs f de /a", ["/a"]),
    ("btrfs f d /a", []),
    ("btrfs fi df /a", []),
    ("btrfs fi du /a", []),
    ("btrfs fi defragmentation /a", []),
    ("btrfs subvolume list /a", []),
    ("btrfs", []),
    ("btrfs fi", []),
    ("btrfs fi defrag", []),
    ("/usr/bin/btrfs fi defrag /a", ["/a"]),
    ("mybtrfs fi defrag /a", []),
    ("btrfs -v --format json fi defrag /a", ["/a"]),
    # options
    ("btrfs fi defrag -r -v -f /a /b/", ["/a", "/b"]),
    ("btrfs fi defrag -rvf -t 32M /a", ["/a"]),
    ("btrfs fi defrag -rt 32M /a", ["/a"]),
    ("btrfs fi defrag -t32M -czstd -s 0 -l 1G /a", ["/a"]),
    ("btrfs fi defrag -rczstd /a", ["/a"]),
    ("btrfs fi defrag -czlst /a", ["/a"]),
    ("btrfs fi defrag --step 1G --nocomp /a", ["/a"]),
    ("btrfs fi defrag --step=1G -L 3 /a -r", ["/a"]),
    ("btrfs fi defrag -- -r", ["/home/u/-r"]),
    ("btrfs fi defrag /a -t", ["/a"]),
    # before it
    ("sudo -n btrfs fi defrag /a", ["/a"]),
    ("sudo -u btrfs /bin/btrfs fi defrag /a", ["/a"]),
    ("nice -n 19 ionice -c3 /usr/bin/btrfs fi defrag /a", ["/a"]),
    ("LC_ALL=C A='x y' btrfs fi defrag /a", ["/a"]),
    ("env -i PATH=/bin btrfs fi defrag /a", ["/a"]),
    ("flock -n /run/x timeout 2h btrfs fi defrag /a", ["/a"]),
    ("exec nice btrfs fi defrag /a", ["/a"]),
    ("echo btrfs fi defrag /a", []),
    ("echo 'btrfs fi defrag /a'", []),
    # lists
    ("true && btrfs fi defrag /a; btrfs fi defrag /b || x", ["/a", "/b"]),
    ("btrfs fi defrag /a & btrfs fi defrag /b|tee x", ["/a", "/b"]),
    ("(cd /x;btrfs fi defrag /a)", ["/a"]),
    ("if on_ac_power; then btrfs fi defrag /a; fi", ["/a"]),
    ("[ -d /a ] && { btrfs fi defrag /a; }", ["/a"]),
    ("! btrfs fi defrag /a", ["/a"]),
    ("btrfs fi defrag /a /a; btrfs fi defrag /a/", ["/a"]),
    ("cd /x && btrfs fi defrag . y", ["/x", "/x/y"]),
    # output
    ("btrfs fi defrag /a >/dev/null 2>&1", ["/a"]),
    ("btrfs fi defrag /a > /dev/null 2> /b", ["/a"]),
    ("btrfs fi defrag /a &>>/var/log/x", ["/a"]),
    (">/dev/null btrfs fi defrag /a2>x", ["/a2"]),
    ("btrfs fi defrag /a # /b", ["/a"]),
    ("btrfs fi defrag /a#b", ["/a#b"]),
    # words
    ("btrfs fi defrag '/a b' \"/c d\" /e\\ f /g' 'h", ["/a b", "/c d", "/e f", "/g h"]),
    ('"btrfs" fi "def"rag "/a"', ["/a"]),
    ("btrfs fi defrag '' /a", ["/a"]),
    (
        'btrfs fi defrag ~ ~/b $HOME/c ${HOME}/d "$HOME/e f"',
        ["/home/u", "/home/u/b", "/home/u/c", "/home/u/d", "/home/u/e f"],
    ),
    ("btrfs fi defrag '$HOME/a' '~/b' \\~/c", ["/home/u/$HOME/a", "/home/u/~/b", "/home/u/~/c"]),
    ('btrfs fi defrag "~/a" "\\$HOME" "a\\b"', ["/home/u/~/a", "/home/u/$HOME", "/home/u/a\\b"]),
    ("btrfs fi defrag relative", ["/home/u/relative"]),
    ("btrfs fi defrag /a//b/./c/ /a/../b", ["/a/b/c", "/a/../b"]),
    ("btrfs fi defrag /srv/vm/*.qcow2 /x/a?/b /[ab]", ["/srv/vm", "/x", "/"]),
    ("btrfs fi defrag '/a*'", ["/a*"]),
    ("btrfs fi defrag /home/$USER/vm $(cat list) `cat list` ~root/x $HOMER /a", ["/a"]),
    ('btrfs fi defrag "/home/$USER" "$(x)" /a', ["/a"]),
    ("btrfs fi defrag /é\udcff", ["/é\udcff"]),
    ("btrfs fi defrag /a\r", ["/a\r"]),
    # variables that the text itself sets
    ("d=/a; btrfs fi defrag -r $d", ["/a"]),
    ('D="/a b"\nbtrfs fi defrag "$D" "${D}/c"', ["/a b", "/a b/c"]),
    ("export D='/a'\nE=/e\nbtrfs fi defrag $D/$E", ["/a/e"]),
    ("D=$(x); btrfs fi defrag $D /b", ["/b"]),
    ("for d in /a '/b c'; do btrfs fi defrag -r \"$d\"; done", ["/a", "/b c"]),
    ("for d in /a\ndo\n  btrfs fi defrag $d/x\ndone", ["/a/x"]),
    ("for d in /a/*; do btrfs fi defrag $d /b; done", ["/b"]),
    ("D=/a btrfs fi defrag /b", ["/b"]),
    ("DD=/a; btrfs fi defrag $D /b", ["/b"]),
    # other programs that run it
    ("find /a -xdev -size +1M -type f -exec btrfs filesystem defrag -t 32m -f {} \\;", ["/a"]),
    ("find -L /a '/b c' ( -name x ) -exec nice btrfs fi defrag '{}' +", []),
    ("find -L /a '/b c' \\( -name x \\) -exec btrfs fi defrag '{}' + -print", ["/a", "/b c"]),
    ("sudo find /a -name '*.img' -execdir btrfs fi defrag -f {} ';'", ["/a"]),
    ("cd /x; find -type f -exec btrfs fi defrag {} +", ["/x"]),
    ("find /a -exec true \\; ; btrfs fi defrag /b", ["/b"]),
    ("find /a -name btrfs", []),
    ("sh -c 'btrfs fi defrag /a'", ["/a"]),
    ("sudo bash -lc \"cd /x && btrfs fi defrag 'y z'\"", ["/x/y z"]),
    ("sh /usr/local/bin/defrag", []),
    # unreadable
    ("btrfs fi defrag '/a", []),
    ('btrfs fi defrag /a "', []),
    ("btrfs fi defrag /a $(", []),
    ("btrfs fi defrag /a \\", []),
    ("", []),
    (";;&|", []),
]


@pytest.mark.parametrize(("command", "paths"), DEFRAGMENTED)
def test_defragmented(command, paths):
    assert defragmented(command, "/home/u") == tuple(paths)


@pytest.mark.parametrize(
    "hostile",
    [
        "; for a in " * 9_000,
        ";b=c" * 25_000,
        "$(" * 50_000,
        "'" * 99_999,
        '"\\' * 50_000,
        "a=" * 50_000,
        "`" * 99_999,
        "~" * 99_999,
    ],
)
def test_a_hostile_line_takes_no_time(hostile):
    assert defragmented(f"btrfs fi defrag {hostile}", "/home/u") in ((), ("/home/u/" + hostile,))
    assert len(calendar.parse_table(f"* * * * * {hostile}".encode(), system=False)) == 1
