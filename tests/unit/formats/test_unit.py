"""Unit files, judged by systemd's own programs where they are installed."""

from __future__ import annotations

import subprocess

import pytest

from reconciler.formats import unit
from reconciler.formats.calendar import MARK, is_ours
from tests import tiers

NASTY = [
    "/srv/vm",
    "/srv/a b",
    "/srv/\ttab",
    '/srv/a"b',
    "/srv/it's",
    "/srv/50%q",
    "/srv/$HOME",
    "/srv/${HOME}",
    "/srv/back\\slash",
    "/srv/x20\\x20",
    "/srv/;",
    "/srv/Bücher/日本",
    "/srv/#no comment",
    "/srv/end\\",
    "/srv/[x]=*?",
]

WORDS = [
    ("/srv/vm", "/srv/vm"),
    ("-t32M", "-t32M"),
    ("", '""'),
    (";", '";"'),
    ("a b", '"a b"'),
    ("100%q", "100%%q"),
    ("$HOME", "$$HOME"),
    ("${A} %", '"$${A} %%"'),
    ("it's", '"it\'s"'),
    ('a"b\\c', r'"a\"b\\c"'),
    ("\t\x7f", r'"\x09\x7f"'),
    ("é", '"é"'),
    ("\udcff", r'"\xff"'),
]

PATHS = [
    ("/", "/"),
    ("/srv/é%", "/srv/é%%"),
    ("/srv/$x", "/srv/$x"),
    ("/a b", '"/a b"'),
    ("/a\"b\\c'd", r'"/a\"b\\c' + "'" + 'd"'),
]

MOUNTS = [
    ("/", "-.mount"),
    ("//", "-.mount"),
    ("/.", "-.mount"),
    ("/home", "home.mount"),
    ("/home/", "home.mount"),
    ("/home//a/./b", "home-a-b.mount"),
    ("/home/a b", r"home-a\x20b.mount"),
    ("/a-b", r"a\x2db.mount"),
    ("/.snapshots", r"\x2esnapshots.mount"),
    ("/a/.b", "a-.b.mount"),
    ("/a:b_c.d\\e", r"a:b_c.d\x5ce.mount"),
    ("/é\udcff", r"\xc3\xa9\xff.mount"),
    ("/50%", r"50\x25.mount"),
]


@pytest.mark.parametrize(("text", "written"), WORDS)
def test_word(text, written):
    assert unit.word(text) == written


@pytest.mark.parametrize(("text", "written"), PATHS)
def test_path(text, written):
    assert unit.path(text) == written


@pytest.mark.parametrize(("text", "name"), MOUNTS)
def test_mount_unit(text, name):
    assert unit.mount_unit(text) == name


@pytest.mark.parametrize("text", [text for text, _ in MOUNTS])
def test_mount_unit_is_what_systemd_escape_says(text):
    escaped = run("systemd-escape", "--path", "--suffix=mount", "--", text)
    assert unit.mount_unit(text) == escaped.stdout.rstrip("\n")


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (unit.word, "a\nb"),
        (unit.word, "a\0b"),
        (unit.path, "/a\nb"),
        (unit.path, "relative"),
        (unit.path, ""),
        (unit.path, "/\udcff"),
        (unit.mount_unit, "home"),
        (unit.mount_unit, "/a/../b"),
        (unit.mount_unit, ""),
    ],
)
def test_refused(function, text):
    with pytest.raises(ValueError, match=r"is|does"):
        function(text)


def test_command():
    assert unit.command(["/usr/bin/btrfs", "-v", "/a b"]) == '/usr/bin/btrfs -v "/a b"'


@pytest.mark.parametrize("program", ["btrfs", "/opt/a b", "/opt/$x", "/opt/a'b", "/opt/a\\b"])
def test_a_program_systemd_would_not_start_is_refused(program):
    with pytest.raises(ValueError, match="cannot be a program"):
        unit.command([program, "x"])


def test_render():
    text = unit.render(
        ["for ~/vm"], [("Unit", [("Description", "a b")]), ("Timer", [("Persistent", "true")])]
    )
    assert text == f"{MARK}\n# for ~/vm\n\n[Unit]\nDescription=a b\n\n[Timer]\nPersistent=true\n"
    assert is_ours(text.encode())


@pytest.mark.parametrize("value", ["a\nb", "joins the next line\\", " a", "a\t", "\udcff", "\0"])
def test_a_value_that_would_be_read_differently_is_refused(value):
    with pytest.raises(ValueError, match=r"line|differently|UTF-8"):
        unit.render([], [("Unit", [("Description", value)])])


@pytest.mark.parametrize(
    ("data", "ours"),
    [
        (MARK.encode(), True),
        (MARK.encode() + b"\n[Unit]\n", True),
        (b"\n" + MARK.encode(), False),
        (MARK.encode() + b" Not.\n", False),
        (b"", False),
        (b"\xff", False),
    ],
)
def test_is_ours(data, ours):
    assert is_ours(data) == ours


@pytest.mark.parametrize("path", NASTY)
def test_systemd_reads_the_paths_that_were_written(path, tmp_path):
    # systemd-analyze names the programs and mount points it understood, when it cannot use them.
    written = unit.word(path).replace("$$", "$")  # a program's name has no variables
    service = unit.render(
        [],
        [
            (
                "Unit",
                [
                    ("Description", unit.literal(path.rstrip("\\"))),
                    ("RequiresMountsFor", unit.path(path)),
                ],
            ),
            ("Service", [("Type", "oneshot"), ("ExecStart", written)]),
        ],
    )
    output = verify(tmp_path, "vmtune-x.service", service)
    assert f"Command {path} is not exec" in output or f"special characters: {path}" in output
    assert "gnoring" not in output


@pytest.mark.parametrize("path", NASTY)
def test_systemd_finds_no_fault_in_a_service_and_its_timer(path, tmp_path):
    service = unit.render(
        ["defragments"],
        [
            ("Unit", [("RequiresMountsFor", unit.path(path))]),
            ("Service", [("Type", "oneshot"), ("ExecStart", unit.command(["/bin/true", path]))]),
        ],
    )
    timer = unit.render(
        [],
        [
            ("Timer", [("OnCalendar", "*-*-* 12:00:00"), ("Persistent", "true")]),
            ("Install", [("WantedBy", "timers.target")]),
        ],
    )
    (tmp_path / "vmtune-x.timer").write_text(timer)
    assert verify(tmp_path, "vmtune-x.service", service) == ""
    assert verify(tmp_path, "vmtune-x.timer", timer) == ""


def test_systemd_would_have_found_a_fault(tmp_path):
    assert verify(tmp_path, "a.service", '[Service]\nType=oneshot\nExecStart=/bin/true "a\n') != ""


def verify(folder, name, text):
    (folder / name).write_text(text, encoding="utf-8")
    options = ("--man=no", "--generators=no", "--recursive-errors=no")
    environment = {"SYSTEMD_UNIT_PATH": f"{folder}:", "LC_ALL": "C.UTF-8"}
    return run(
        "systemd-analyze", *options, "verify", str(folder / name), env=environment, check=False
    ).stderr


def run(program, *arguments, env=None, check=True):
    tiers.judge(program, "systemd")
    return subprocess.run(
        [program, *arguments],
        capture_output=True,
        text=True,
        env=env,
        check=check,
        errors="surrogateescape",
    )
