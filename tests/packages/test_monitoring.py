"""What monitoring reads: metrics, taken by the real collector and parser, and a Nagios plugin."""

import json
import re
import socket
import subprocess
import time
import urllib.request

import jsonschema
import pytest

from tests import tiers
from tests.packages.tools import CHECKOUT, library, tool

MONITORING = CHECKOUT / "packaging" / "monitoring"
DOCUMENTS = CHECKOUT / "tests" / "golden" / "0.1.0" / "documents"
AWKWARD = '/srv/"a"\\b\nc'
PARSER = """
import json, sys
from prometheus_client.parser import text_string_to_metric_families as families
print(json.dumps([
    [sample.name, sample.labels, sample.value]
    for family in families(sys.stdin.read()) for sample in family.samples
]))
"""


def row(op: str, kind: str = "nocow", name: str = "/srv/vm", code: str = "") -> dict:
    return {"op": op, "kind": kind, "name": name, "code": code}


def schedule(result: str, name: str = "/srv/vm", seconds: float | None = None) -> dict:
    keys = ("name", "result", "seconds", "scheduler", "hidden", "last", "next", "status")
    return dict(zip(keys, (name, result, seconds, "systemd", "", "", "", 0), strict=True))


def status(exit_code: int, *rows: dict, schedules: tuple[dict, ...] = ()) -> dict:
    """A document of `vmtune status --json`, as its schema has it."""
    document = json.loads((DOCUMENTS / "status-after.json").read_text())
    document |= {"exit": exit_code, "changes": list(rows), "places": []}
    document["effect"] |= {"schedules": list(schedules)}
    schema = json.loads((CHECKOUT / "schemas" / "status.schema.json").read_text())
    jsonschema.validate(document, schema)
    return document


CASES = {
    "as declared": status(0, row("="), row("=", "mount", "/"), schedules=(schedule("success"),)),
    "differs": status(2, row("~", name=AWKWARD), row("+"), row("="), row("R")),
    "refused": status(7, row("!", code="V101"), row("!", code="V102")),
    "only root sees": status(6, row("?"), row("=")),
    "a run was skipped": status(0, row("="), schedules=(schedule("exec-condition"),)),
    "a run failed": status(0, row("="), schedules=(schedule("exit-code", seconds=1.5),)),
    "nothing declared": status(0),
    "a mistake": json.loads((DOCUMENTS / "error.json").read_text()),
    **{p.stem: json.loads(p.read_text()) for p in DOCUMENTS.glob("status-*.json")},
}


def metrics(document: dict) -> str:
    """What the documented filter makes of it."""
    tiers.judge("jq", "jq")
    argv = ["jq", "--raw-output", "--from-file", MONITORING / "metrics.jq"]
    return subprocess.run(
        argv, input=json.dumps(document), capture_output=True, text=True, check=True
    ).stdout


@pytest.mark.parametrize("name", CASES)
def test_prometheus_parses_it(name):
    python = library("prometheus_client")
    text = metrics(CASES[name])
    argv = [python, "-c", PARSER]
    done = subprocess.run(argv, input=text, capture_output=True, text=True, check=True)
    samples = json.loads(done.stdout)
    keys = [(sample, json.dumps(labels)) for sample, labels, _ in samples]
    assert len(keys) == len(set(keys)), "a series may come once only"
    value = {(sample, *labels.values()): number for sample, labels, number in samples}
    document = CASES[name]
    rows = document.get("changes", [])
    assert value["vmtune_status_exit_code",] == document.get("exit", 1)
    assert sum(n for key, n in value.items() if key[0] == "vmtune_entries") == len(rows)
    assert value["vmtune_entries", "in_sync"] == sum(each["op"] == "=" for each in rows)
    for each in rows:
        assert [key for key in value if key[:3] == ("vmtune_entry", each["kind"], each["name"])]


def test_a_schedule_that_failed_shows():
    text = metrics(CASES["a run failed"])
    assert 'vmtune_schedule_last_run_failed{name="/srv/vm"} 1' in text
    assert 'vmtune_schedule_last_run_seconds{name="/srv/vm"} 1.5' in text
    for name in ("as declared", "a run was skipped"):
        assert 'vmtune_schedule_last_run_failed{name="/srv/vm"} 0' in metrics(CASES[name])


def test_the_collector_of_node_exporter_takes_it(tmp_path):
    program = tool("prometheus-node-exporter")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        at = f"127.0.0.1:{free.getsockname()[1]}"
    flags = ["--collector.disable-defaults", "--collector.textfile"]
    flags += [f"--collector.textfile.directory={tmp_path}", f"--web.listen-address={at}"]
    exporter = subprocess.Popen([program, *flags], stderr=subprocess.DEVNULL)
    try:
        for name, document in CASES.items():
            (tmp_path / "vmtune.prom").write_text(metrics(document))
            text = scraped(f"http://{at}/metrics")
            assert "node_textfile_scrape_error 0" in text, name
            assert f"vmtune_status_exit_code {document.get('exit', 1)}" in text, name
    finally:
        exporter.kill()
        exporter.wait()


def scraped(url: str) -> str:
    for _ in range(200):
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - our own
                return answer.read().decode()
        except OSError:
            time.sleep(0.05)
    raise TimeoutError(url)


@pytest.fixture
def check(tmp_path):
    """The plugin, over a program that answers with a document and an exit code."""

    def call(document, code):
        (tmp_path / "document").write_text(document)
        program = tmp_path / "vmtune"
        program.write_text(f'#!/bin/sh\ncat "{tmp_path}/document"\nexit {code}\n')
        program.chmod(0o755)
        return subprocess.run(
            [MONITORING / "check_vmtune"],
            env={"VMTUNE": str(program), "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
        )

    return call


MAPPED = {
    "as declared": (0, "OK"),
    "nothing declared": (0, "OK"),
    "differs": (1, "WARNING"),
    "refused": (1, "WARNING"),
    "only root sees": (3, "UNKNOWN"),
    "a run was skipped": (0, "OK"),
    "a run failed": (2, "CRITICAL"),
    "a mistake": (3, "UNKNOWN"),
}


@pytest.mark.parametrize("name", MAPPED)
def test_nagios_gets_one_line_and_a_code(check, name):
    document = CASES[name]
    code, word = MAPPED[name]
    done = check(json.dumps(document), document.get("exit", 1))
    assert (done.returncode, done.stderr) == (code, "")
    line = done.stdout.removesuffix("\n")
    assert line.startswith(f"VMTUNE {word} - ")
    assert line.isprintable()
    counts = re.fullmatch(r"[^|]+(?: \| ((?:[a-z_]+=\d+ ?)+))?", line)
    assert counts
    assert bool(counts[1]) == (name != "a mistake")


def test_nagios_gets_unknown_where_there_is_no_answer(check):
    assert check("", 1).returncode == 3
    assert check("no JSON\n", 0).returncode == 3


def test_the_docs_have_each_code_of_the_plugin():
    text = " ".join((CHECKOUT / "docs" / "monitoring.md").read_text().split())
    for code, word in sorted(set(MAPPED.values())):
        assert f"| {code} | {word} |" in text
