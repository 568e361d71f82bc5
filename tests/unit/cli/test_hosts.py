"""Files in hosts/: which host reads each, what is told of the others, and whose facts are seen."""

from __future__ import annotations

import os

import pytest

from tests.unit.cli.inside import vmtune

HERE = os.uname().nodename.partition(".")[0].lower()
ATLAS = "paths: [{path: ~alice/vm, nocow: true}]\n"
BASE = "version: 1\npaths: [{path: /proc/vm, nocow: true}]\n"
MISNAMED = ["atlas.lan.yaml", "ATLAS.yaml", "Atlas.example.org.yml", "atlas.yml", "atlas.YAML"]
NO_OVERLAY = ["README.md", ".atlas.lan.yaml.swp", "atlas", "atlas.yaml~", "atlas.yaml.j2"]


@pytest.fixture
def write(tmp_path):
    def put(name, content=ATLAS):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        path.chmod(0o644)
        return path

    return put


# --- names that no host has


@pytest.mark.parametrize("name", MISNAMED)
def test_a_file_that_no_host_reads_is_an_error_for_all_and_told_elsewhere(write, name):
    file, wrong = write("vmtune.yaml", BASE), write(f"hosts/{name}")
    words = f"{wrong}:1:1: no host reads this file: a host reads NAME.yaml, with its short name"
    done = vmtune("validate", "--all-hosts", file)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(words)
    assert done.stderr.endswith("    call it atlas.yaml\n")
    for command in ("plan", "status", "validate"):
        told = vmtune("--config", file, command)
        assert told.returncode == 0, told
        assert told.stderr.startswith(f"vmtune: {wrong}: no host reads this file")
        assert "    call it atlas.yaml\n" in told.stderr


@pytest.mark.parametrize("name", MISNAMED)
@pytest.mark.parametrize("host", ["atlas", "ATLAS", "atlas.lan"])
def test_what_is_meant_for_this_host_is_not_left_out_silently(write, name, host):
    """For that host it is an error: a plan without it would be another one."""
    file, wrong = write("vmtune.yaml", BASE), write(f"hosts/{name}")
    done = vmtune("--config", file, "--host", host, "plan")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"vmtune: {wrong}: no host reads this file\n    call it atlas.yaml\n"


def test_two_files_for_one_host(write):
    file, wrong = write("vmtune.yaml", BASE), write("hosts/atlas.yml")
    write("hosts/atlas.yaml", ATLAS.replace("alice", "nobody-of-this-name"))
    done = vmtune("validate", "--all-hosts", file)
    assert done.returncode == 1
    assert "atlas.yaml is there already: put the two together" in done.stderr
    plan = vmtune("--config", file, "--host", "atlas", "plan")
    assert plan.returncode == 1, "there is no such user here"
    assert f"vmtune: {wrong}" not in plan.stderr


@pytest.mark.parametrize("name", NO_OVERLAY)
def test_other_files_are_no_ones_overlay(write, name):
    file = write("vmtune.yaml", BASE)
    write(f"hosts/{name}", "anything: at all\n")
    for words in (["validate", "--all-hosts"], ["validate"]):
        done = vmtune("--config", file, *words)
        assert (done.returncode, done.stderr) == (0, "")


def test_overlays_beside_a_link_and_beside_its_file(write, tmp_path):
    file = write("dotfiles/vmtune.yaml", BASE)
    write("dotfiles/hosts/titan.yaml", "paths: [{path: /x, nocow: 7}]\n")
    write("hosts/atlas.yaml")
    link = tmp_path / "vmtune.yaml"
    link.symlink_to(file)
    done = vmtune("validate", "--all-hosts", link)
    assert done.returncode == 1
    assert "dotfiles/hosts/titan.yaml:1:27:" in done.stderr


# --- an overlay alone


def test_an_overlay_is_checked_with_the_configuration_beside(write):
    write("vmtune.yaml", BASE)
    atlas = write("hosts/atlas.yaml", f"{ATLAS}mounts: [{{target: /, remove: true}}]\n")
    done = vmtune("validate", atlas)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"{atlas}:2:10: `remove: true`, but nothing is inherited for '/'")
    write("hosts/atlas.yaml")
    for words in ([atlas], ["--all-hosts", atlas], ["-", "--as", atlas]):
        good = vmtune("validate", *words, text=ATLAS)
        assert (good.returncode, good.stderr) == (0, "")
        assert ": valid; 2 entries for atlas\n" in good.stdout
    bad = vmtune("validate", "-", "--as", atlas, text="paths: [{path: /x, nocow: 7}]\n")
    assert bad.stderr.startswith(f"{atlas}:1:27: ")


@pytest.mark.parametrize("name", MISNAMED)
def test_an_overlay_that_no_host_reads(write, name):
    write("vmtune.yaml", BASE)
    done = vmtune("validate", write(f"hosts/{name}"))
    assert (done.returncode, done.stdout) == (1, "")
    assert ":1:1: no host reads this file" in done.stderr


def test_of_a_configuration_by_another_name(write):
    base, atlas = write("machines.yaml", BASE), write("hosts/atlas.yaml")
    assert ": valid; 2 entries for atlas" in vmtune("--config", base, "validate", atlas).stdout
    assert "'version' is missing" in vmtune("validate", atlas).stderr


def test_of_another_host_than_named_is_wrong_usage(write):
    write("vmtune.yaml", BASE)
    done = vmtune("validate", write("hosts/atlas.yaml"), "--host", "titan")
    assert (done.returncode, done.stdout) == (64, "")
    assert "is for the host atlas" in done.stderr


def test_an_overlay_is_no_configuration(write):
    base = write("vmtune.yaml", BASE)
    atlas = write("hosts/atlas.yaml", f"version: 1\n{ATLAS}")
    for command in ("plan", "status", "apply"):
        done = vmtune(command, "--config", atlas)
        assert (done.returncode, done.stdout) == (1, "")
        assert f"{atlas} is what one host changes of {base}\n" in done.stderr
        assert f"--config {base} --host atlas" in done.stderr


# --- users of the machine that checks


@pytest.mark.parametrize("words", [[], ["--all-hosts"], ["--host", "atlas"]])
def test_who_lives_here_does_not_matter_to_validate(write, words):
    file = write("vmtune.yaml", "version: 1\npaths: [{path: ~nobody-here/vm, nocow: true}]\n")
    write("hosts/atlas.yaml")
    assert vmtune("validate", *words, file).returncode == 0
    twice = write("twice.yaml", "version: 1\npaths: [{path: ~a/vm, nocow: true}, {path: ~a/vm/}]\n")
    done = vmtune("validate", *words, twice)
    assert "'~a/vm' is in paths twice, in lines 2 and 2" in done.stderr
    plan = vmtune("plan", "--config", file)
    assert "no user 'nobody-here'" in plan.stderr


# --- --host


def test_whose_facts_are_shown_is_said(write):
    file = write("vmtune.yaml", BASE)
    write("hosts/atlas.yaml", "paths: [{path: /proc/two, nocow: true}]\n")
    for command in ("plan", "status", "doctor"):
        done = vmtune(command, "--config", file, "--host", "Atlas.lan")
        assert done.stdout.startswith(f"host atlas (the facts are those of {HERE}) · config ")
        assert done.stderr == ""
        own = vmtune(command, "--config", file, "--host", HERE)
        assert own.stdout.startswith(f"host {HERE} · config ")


def test_a_host_that_nobody_names_is_told(write):
    file = write("vmtune.yaml", f"{BASE}hosts: {{titan: {{paths: []}}}}\n")
    for words in (["plan"], ["status"], ["validate"]):
        none = vmtune(*words, "--config", file, "--host", "titam")
        assert none.returncode == 0
        assert f"{file} names no host 'titam': this is what any other host gets" in none.stderr
        assert "did you mean titan?" in none.stderr
        assert vmtune(*words, "--config", file, "--host", "titan").stderr == ""
        assert vmtune(*words, "--config", file, "--host", HERE).stderr == ""
    assert vmtune("-q", "plan", "--config", file, "--host", "titam").stderr == ""


@pytest.mark.parametrize("name", ["", ".", "../x", "a/b", ".lan"])
def test_what_is_the_name_of_no_host(write, name):
    done = vmtune("plan", "--config", write("vmtune.yaml", BASE), "--host", name)
    assert (done.returncode, done.stdout) == (1, "")
    assert "--host" in done.stderr
