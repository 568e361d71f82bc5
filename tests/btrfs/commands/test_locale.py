"""Names beyond ASCII where the locale, or Python's idea of it, knows none."""

import json
import os

import pytest

from tests.btrfs.outside import is_nocow, run
from tests.btrfs.world import World

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
