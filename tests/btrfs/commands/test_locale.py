"""Names beyond ASCII where the locale, or Python's idea of it, knows none."""

import ctypes
import json
import locale as locale_module
import os

import pytest

from tests.btrfs.outside import is_nocow, run
from tests.btrfs.sandbox import PROGRAM
from tests.btrfs.world import World
from tests.terminal import screen

BARE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
LOCALES = {
    "C": {"LC_ALL": "C"},
    "C, and Python told not to help": BARE,
    "POSIX, and Python told not to help": {**BARE, "LC_ALL": "POSIX"},
    "none set": {**BARE, "LC_ALL": ""},
    "UTF-8, and Python told not to help": {**BARE, "LC_ALL": "C.UTF-8"},
}


@pytest.mark.parametrize("env", LOCALES.values(), ids=list(LOCALES))
def test_a_name_beyond_ascii_is_the_same_name_in_every_locale(host: World, env: dict[str, str]):
    top = host.area / "Bilder für 日本"
    (top / "größer").mkdir(parents=True)
    odd = os.fsencode(top) + b"/\xff\xfe.raw"
    with open(odd, "wb"):
        pass
    host.nocow(top)
    planned = host.vmtune("plan", "--detailed-exitcode", env=env)
    assert planned.code == 2, planned
    done = host.vmtune("apply", "--yes", env=env)
    assert done.code == 0, done
    assert "verified: 1 of 1" in done.out
    assert is_nocow(top)
    assert is_nocow(top / "größer")
    assert "C" in run("lsattr", "-d", os.fsdecode(odd), errors="replace").split()[0]
    again = host.vmtune("plan", "--json", env=env)
    assert {change["op"] for change in json.loads(again.out)["changes"]} == {"="}
    told = host.vmtune("history", "1", env=env)
    for ran in (planned, done, told):
        if env["LC_ALL"] != "C.UTF-8":
            assert (ran.out + ran.err).isascii(), ran
    assert host.vmtune("revert", "--yes", env=env).code == 0
    assert not is_nocow(top / "größer")


NAMES = ("instala\u00e7\u00e3o.raw", "\u65e5\u672c\u8a9e.raw", "plain.raw", "e\u0301.raw")


@pytest.mark.parametrize("locale", ["C", "POSIX", "C.UTF-8"])
@pytest.mark.parametrize("columns", [60, 80])
def test_columns_stand_below_each_other_whatever_a_terminal_can_show(
    host: World, locale: str, columns: int
):
    """An escape is longer than its character, and a character of Japanese is two columns wide."""
    top = host.area / "m\u00e1quina \u65e5\u672c"
    top.mkdir()
    for name in NAMES:
        (top / name).write_bytes(os.urandom(1 << 16))
    run("sync", "-f", top)
    host.nocow(top)
    env = {"PATH": os.environ["PATH"], "TERM": "xterm", "NO_COLOR": "1", "LC_ALL": locale}
    for command in ("plan", "status", "doctor"):
        shown = screen([*PROGRAM, "--config", str(host.file), command], columns, env)
        assert shown.isascii() or locale == "C.UTF-8"
        wide = [line for line in shown.splitlines() if wide_of(line) > columns]
        assert not [line for line in wide if " " in line.strip() and "->" not in line], shown
        rows = [line for line in shown.splitlines() if " 64.0 KiB  " in line]
        assert len({wide_of(line.partition(" KiB")[0]) for line in rows}) <= 1, shown
        assert len(rows) == (4 if command == "status" else 0), shown


def wide_of(line: str) -> int:
    """Columns as wcwidth(3) counts them."""
    libc = ctypes.CDLL(None)
    before = locale_module.setlocale(locale_module.LC_CTYPE)
    locale_module.setlocale(locale_module.LC_CTYPE, "C.UTF-8")
    try:
        return sum(libc.wcwidth(ord(c)) for c in line)
    finally:
        locale_module.setlocale(locale_module.LC_CTYPE, before)
