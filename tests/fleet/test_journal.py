"""What vmtune tells the journal of a booted host: an entry for each event, with fields."""

import json
import re

import pytest

from tests.documents import as_typed
from tests.host import installed

CONFIG = "/etc/vmtune/vmtune.yaml"
LONG = "a-directory-whose-name-is-longer-than-a-line-of-a-terminal-" * 3
DECLARED = f"""version: 1
paths:
  - path: /srv/{LONG}
    nocow: true
  - path: /srv/vms
    nocow: true
  - path: /srv/old
    nocow: true
  - path: "/srv/two\\nlines"
    nocow: true
"""


def runs(host, *words: str) -> tuple[int, list[dict[str, str]]]:
    """Run vmtune as a service; return its exit code and the entries of the journal."""
    argv = ["systemd-run", "--wait", "--quiet", "--collect", "--property=Type=oneshot"]
    since = host.run("date '+%s.%N'").stdout.strip()
    host.run([*argv, "--unit=asked", *words], check=False)
    # journald finds the unit by the process, which may have ended by then: a lone last entry can
    # lack it. What was printed comes by a pipe that journald knows, and always has it.
    match = "_SYSTEMD_UNIT=asked.service + UNIT=asked.service + SYSLOG_IDENTIFIER=vmtune"
    log = host.run(f"journalctl --sync; journalctl {match} -a -o json --since=@{since}").stdout
    entries = [json.loads(line) for line in log.splitlines()]
    # systemd-run itself has no other exit code than 1.
    code = next((each["EXIT_STATUS"] for each in entries if "EXIT_STATUS" in each), "0")
    return int(code), entries


def ours(entries: list[dict[str, str]]) -> list[dict[str, str]]:
    """Those that vmtune sent; systemd writes some of the unit, too."""
    return [each for each in entries if "VMTUNE_EVENT" in each]


@pytest.fixture(scope="module")
def host(node):
    node.write(CONFIG, DECLARED.replace("two\\nlines", "two lines").encode())
    node.run("mkdir -p /srv/old; head -c 1M /dev/urandom >/srv/old/disk.raw; sync")
    yield node
    node.run("rm -rf /etc/vmtune /var/lib/vmtune /srv/*")


def test_apply_tells_each_action_and_what_is_refused(host):
    code, entries = runs(host, "/usr/local/bin/vmtune", "apply", "--yes")
    told = ours(entries)
    assert code == 7, [each["MESSAGE"] for each in entries]
    assert installed.is_nocow(host, f"/srv/{LONG}")
    ends = {each["VMTUNE_ENTRY"]: each for each in told if each["VMTUNE_EVENT"] == "end"}
    assert {*ends} == {f"nocow /srv/{name}" for name in (LONG, "vms", "old", "two lines")}
    for name, each in ends.items():
        assert (each["VMTUNE_OUTCOME"], each["PRIORITY"]) == ("done", "6")
        assert each["VMTUNE_KIND"] == "nocow"
        assert each["VMTUNE_NAME"] == name.removeprefix("nocow ")
        assert each["SYSLOG_IDENTIFIER"] == "vmtune"
    [verified] = [each["MESSAGE"] for each in told if each["VMTUNE_EVENT"] == "verified"]
    assert re.fullmatch(r"verified: (\d+) of \1 read back as planned", verified)
    [refused] = [each for each in told if each.get("VMTUNE_OP") == "!"]
    assert (refused["VMTUNE_CODE"], refused["PRIORITY"]) == ("V101", "4")


def test_each_event_is_one_line(host):
    _, entries = runs(host, "/usr/local/bin/vmtune", "status")
    text = [each for each in entries if each.get("_TRANSPORT") == "stdout"]
    assert text == []
    lines = [each["MESSAGE"] for each in ours(entries)]
    assert any(LONG in line for line in lines)
    assert all(line.isprintable() for line in lines)


def test_status_tells_each_entry_and_a_verdict(host):
    code, entries = runs(host, "/usr/local/bin/vmtune", "status")
    told = ours(entries)
    rows = json.loads(host.run(["vmtune", "status", "--json"], check=False).stdout)["changes"]
    assert [(each["VMTUNE_OP"], each["VMTUNE_NAME"]) for each in told[:-1]] == [
        (row["op"], row["name"]) for row in rows
    ]
    assert told[-1]["VMTUNE_EVENT"] == "status"
    assert int(told[-1]["VMTUNE_EXIT_CODE"]) == code == 7
    found = host.run(["journalctl", "-q", "-o", "cat", "VMTUNE_NAME=/srv/two lines"]).stdout
    assert "= nocow /srv/two lines" in found


def test_a_problem_is_told_as_one_error(host):
    code, entries = runs(host, "/usr/local/bin/vmtune", "--config", "/nowhere.yaml", "status")
    [problem] = ours(entries)
    assert code == 1
    assert (problem["VMTUNE_EVENT"], problem["PRIORITY"]) == ("problem", "3")
    assert "/nowhere.yaml" in problem["MESSAGE"]


def test_defrag_tells_what_it_brought(host):
    installed.guest(host, "/srv/raw.img", 8, 1000)
    _, entries = runs(host, "/usr/local/bin/vmtune", "defrag", "/srv/raw.img")
    [told] = [each for each in ours(entries) if each["VMTUNE_EVENT"] == "defrag"]
    assert re.search(r"1 file defragmented, [\d,]+ -> \d+ fragment", told["MESSAGE"])
    assert told["VMTUNE_NAME"] == "/srv/raw.img"


def test_the_journal_is_asked_as_the_page_says(host):
    found = host.run(as_typed("journalctl VMTUNE_ENTRY='nocow /srv/vms'")).stdout
    assert "= nocow /srv/vms" in found
    assert "/srv/old" not in found
    assert host.run(as_typed("journalctl VMTUNE_EVENT=end VMTUNE_OUTCOME=failed --output json"))


@pytest.mark.parametrize(
    "words", [("sh", "-c", "vmtune status | cat"), ("vmtune", "status", "--json")]
)
def test_a_pipe_and_json_are_as_everywhere(host, words):
    _, entries = runs(host, *words)
    assert ours(entries) == []
    assert any("/srv/old" in each["MESSAGE"] for each in entries)
