"""The collection on two booted hosts, by Ansible over ssh; one story, in the order of the tests."""

import json

import pytest

from tests.documents import as_typed
from tests.fleet.playing import Ansible
from tests.host import installed, sandbox
from tests.packages import debs

CONFIG = "/etc/vmtune/vmtune.yaml"
PLAN = "/root/vmtune.plan"
BOTH = ("bookworm", "trixie")
# As in an inventory: YAML 1.1, in which `no` is a boolean, and 12:00 is the number 720.
DECLARED = """
version: 1
paths:
  - path: /srv/vms
    nocow: yes
mounts:
  - target: /
    options:
      compress: no
      commit: 60
defrag:
  - path: /srv/raw
    schedule: "Sun 12:00"
"""
ROLE = f"""
- hosts: all
  become: true
  gather_facts: false
  roles:
    - role: vmtune.vmtune.vmtune
      vars:
        vmtune_config: {DECLARED.replace(chr(10), chr(10) + " " * 10)}
"""


@pytest.fixture(scope="module")
def deb(tmp_path_factory):
    """The Debian package, built without its tests: `make packages` runs these."""
    out = tmp_path_factory.mktemp("deb")
    return debs.build(sandbox.cache_folder(), out, as_typed("DEB_BUILD_OPTIONS=nocheck make deb"))


@pytest.fixture(scope="module")
def ansible(fleet, deb):
    """Debian 13 gets the package, and Debian 12 an environment of pip's."""
    made = Ansible(fleet)
    made.inventory({"bookworm": {}, "trixie": {"vmtune_deb": str(deb)}})
    (made.folder / "site.yml").write_text(ROLE)
    for host in fleet.hosts.values():
        host.run("mkdir -p /srv/raw; mount -o remount,compress=zstd:3 /")
    return made


@pytest.fixture
def hosts(fleet):
    return fleet.hosts


def states(hosts):
    """What no check may change: all of /etc and /srv, and what vmtune keeps."""
    folders = ["/etc", "/srv"]
    return {name: installed.state(host, *folders) for name, host in hosts.items()}


def test_a_check_before_vmtune_is_there_says_so(ansible, hosts):
    before = states(hosts)
    played = ansible.play(
        as_typed("ansible-playbook --inventory inventory.ini --check --diff site.yml")
    )
    assert played.code == 0, played.said
    for name in BOTH:
        result = played.results[name]
        assert result["changed"]
        assert "not installed yet" in result["warnings"][0]
        assert result["diff"][0]["before"] == ""
        assert 'compress: "no"' in result["diff"][0]["after"]
    assert states(hosts) == before


def test_without_vmtune_a_run_fails(ansible):
    played = ansible.task(config={"version": 1})
    assert {*played.states.values()} == {"failed"}
    assert "the role vmtune.vmtune.vmtune installs it" in played.said


def test_the_role_installs_and_applies(ansible, hosts):
    played = ansible.play(as_typed("ansible-playbook --inventory inventory.ini site.yml"))
    assert played.code == 0, played.said
    for name, host in hosts.items():
        assert played.results[name]["changed"]
        assert played.results[name]["exit_code"] == 0
        assert installed.is_nocow(host, "/srv/vms")
        assert b"compress=no" in host.read("/etc/fstab")
        assert "commit=60" in installed.live(host, "/")
        assert not [each for each in installed.live(host, "/") if each.startswith("compress")]
    assert hosts["bookworm"].run("readlink -f /usr/local/bin/vmtune").stdout.startswith("/opt/")
    assert hosts["trixie"].run("command -v vmtune").stdout == "/usr/bin/vmtune\n"


def test_a_second_run_changes_nothing(ansible, hosts):
    before = states(hosts)
    played = ansible.play(ROLE)
    assert played.code == 0, played.said
    assert "changed=0" in played.said
    assert states(hosts) == before
    assert {name: each["changed"] for name, each in played.results.items()} == dict.fromkeys(
        BOTH, False
    )


LESS = {
    "version": "1",
    "paths": [{"path": "/srv/vms", "nocow": "True"}, {"path": "/srv/more", "nocow": True}],
}


def test_a_check_predicts_what_a_run_does(ansible, hosts):
    """Also what is taken back, since the configuration no longer declares it."""
    before = states(hosts)
    check = ansible.task("--check", "--diff", config=LESS)
    assert check.code == 0, check.said
    assert states(hosts) == before
    run = ansible.task("--diff", config=LESS)
    assert run.code == 0, run.said
    for name, host in hosts.items():
        told, done = check.results[name], run.results[name]
        assert told["changed"]
        assert done["changed"]
        assert told["diff"] == done["diff"]
        assert told["counts"] == done["counts"]
        assert [each["op"] for each in told["changes"]].count("-") >= 2
        headers = [each["before_header"].partition(":")[0] for each in told["diff"]]
        assert headers[0] == CONFIG
        assert {"nocow /srv/more", "mount /", "defrag /srv/raw"} <= {*headers}
        assert b"compress=no" not in host.read("/etc/fstab")
        assert installed.is_nocow(host, "/srv/more")
        assert (
            host.run("ls /etc/systemd/system | grep -c vmtune-defrag", check=False).stdout == "0\n"
        )
    again = ansible.task("--check", config=LESS)
    assert not any(each["changed"] for each in again.results.values())


def test_a_file_of_the_control_node_is_taken(ansible, hosts):
    text = "version: 1\npaths:\n  - {path: /srv/vms, nocow: true}   # as it is\n"
    (ansible.folder / "mine.yaml").write_text(text)
    played = ansible.task(content="{{ lookup('ansible.builtin.file', 'mine.yaml') }}")
    assert played.code == 0, played.said
    for host in hosts.values():
        assert host.read(CONFIG).decode() == text


WRONG = {
    "version": 1,
    "paths": [{"path": "/srv/vms", "nocwo": True}],
    "defrag": [{"path": "/srv/raw", "schedule": 720}],
}


@pytest.mark.parametrize("words", [[], ["--check"]])
def test_a_mistake_is_told_with_its_place_and_nothing_is_written(ansible, hosts, words):
    before = states(hosts)
    played = ansible.task(*words, config=WRONG)
    assert {*played.states.values()} == {"failed"}
    for result in played.results.values():
        assert f"{CONFIG}:4:" in result["msg"]
        assert "nocow" in result["msg"]
        assert "schedule" in result["msg"]
    assert states(hosts) == before


def test_what_is_refused_is_a_failure_after_the_rest_is_done(ansible, hosts):
    """An image that is copy-on-write under `existing: report`."""
    config = {
        "version": 1,
        "paths": [{"path": name, "nocow": True} for name in ("/srv/old", "/srv/vms", "/srv/new")],
    }
    for host in hosts.values():
        host.run("mkdir -p /srv/old; [ ! -e /srv/more ]")
        host.run(["sh", "-c", "head -c 1M /dev/urandom >/srv/old/$(printf 'a\\377').raw; sync"])
    check = ansible.task("--check", config=config)
    run = ansible.task(config=config)
    for played in (check, run):
        assert {*played.states.values()} == {"failed"}
        for result in played.results.values():
            assert "V101" in result["msg"]
            assert result["changed"]
    for name, host in hosts.items():
        assert run.results[name]["exit_code"] == 7
        assert installed.is_nocow(host, "/srv/new")
    accepted = ansible.task(config=config, refused="warn")
    for result in accepted.results.values():
        assert not result["changed"]
        assert "V101" in result["warnings"][0]
    assert accepted.code == 0


def declare_more(ansible, *names):
    paths = [{"path": f"/srv/{name}", "nocow": True} for name in names]
    config = {"version": 1, "paths": paths}
    ansible.inventory({name: {"vmtune_config": config} for name in BOTH})
    return config


def test_a_plan_is_saved_fetched_and_read(ansible, hosts):
    declare_more(ansible, "approved")
    before = {name: installed.state(host, "/srv") for name, host in hosts.items()}
    played = ansible.play("vmtune.vmtune.save_plans", "-e", "vmtune_plans=plans")
    assert played.code == 0, played.said
    assert {name: installed.state(host, "/srv") for name, host in hosts.items()} == before
    for name in BOTH:
        plan = json.loads((ansible.folder / "plans" / f"{name}.plan").read_text())
        assert plan["host"] == name
        assert "/srv/approved" in (ansible.folder / "plans" / f"{name}.txt").read_text()
    read = ansible.fleet.run(["sh", "-c", as_typed("less plans/*.txt")])
    assert read.returncode == 0, read.stderr
    assert read.stdout.count("/srv/approved") == 2
    save = as_typed("ansible-playbook --inventory inventory.ini vmtune.vmtune.save_plans")
    again = ansible.play(save)
    assert not any(each["changed"] for each in again.results.values())
    for host in hosts.values():
        assert host.run(["stat", "-c", "%a", PLAN]).stdout == "600\n"


SERIAL = as_typed(
    "ansible-playbook --inventory inventory.ini vmtune.vmtune.apply_plans -e vmtune_serial=1"
)


@pytest.fixture
def moved(hosts):
    """The first host of the play, changed between the plan and its approval."""
    hosts["bookworm"].run("mkdir -m 700 /srv/approved")
    yield
    hosts["bookworm"].run("rm -rf /srv/approved")


@pytest.mark.usefixtures("moved")
def test_a_check_says_that_a_plan_is_stale(ansible):
    played = ansible.play("vmtune.vmtune.apply_plans", "--check")
    assert played.states == {"bookworm": "failed", "trixie": "ok"}
    assert played.results["bookworm"]["stale"]
    assert played.results["trixie"]["changed"]


@pytest.mark.usefixtures("moved")
def test_a_stale_plan_stops_the_roll_out(ansible, hosts):
    """Host after host: where the first moved, nothing is done to it nor to those behind it."""
    before = installed.state(hosts["bookworm"], "/srv")
    played = ansible.play(SERIAL)
    assert played.code
    assert played.states == {"bookworm": "failed"}
    result = played.results["bookworm"]
    assert (result["exit_code"], result["stale"], result["changed"]) == (5, True, False)
    assert "/srv/approved" in result["msg"]
    assert installed.state(hosts["bookworm"], "/srv") == before
    assert hosts["trixie"].run("ls /srv/approved", check=False).returncode


def test_approved_plans_are_done_host_after_host(ansible, hosts):
    played = ansible.play(SERIAL)
    assert played.code == 0, played.said
    assert played.said.index("bookworm") < played.said.index("trixie")
    for name, host in hosts.items():
        assert played.results[name]["changed"]
        assert installed.is_nocow(host, "/srv/approved")
    again = ansible.play(SERIAL)
    assert again.code == 0, again.said
    assert not any(each["changed"] for each in again.results.values())


def test_a_host_without_an_approved_plan_is_left_alone(ansible, hosts):
    declare_more(ansible, "approved", "later")
    assert ansible.play("vmtune.vmtune.save_plans").code == 0
    (ansible.folder / "plans" / "trixie.plan").unlink()
    played = ansible.play("vmtune.vmtune.apply_plans")
    assert played.code == 0, played.said
    assert played.states == {"bookworm": "ok", "trixie": "skipped"}
    assert installed.is_nocow(hosts["bookworm"], "/srv/later")
    assert hosts["trixie"].run("ls /srv/later", check=False).returncode


def test_its_documentation_is_shown(ansible):
    text = ansible.call(*as_typed("ansible-doc vmtune.vmtune.vmtune").split())
    assert "check_mode" in text
    assert "EXAMPLES" in text
    assert "vmtune_deb" in ansible.call(
        *as_typed("ansible-doc --type role vmtune.vmtune.vmtune").split()
    )
