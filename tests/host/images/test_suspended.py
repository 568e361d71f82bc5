"""Machines that run are saved, their images rewritten, and they go on: with a guest that writes.

Each test ends with the same question: is the guest the one that was started (no reboot), and is
every block on the disk that it was told is on the disk?
"""

import json
import subprocess
from pathlib import Path

import jsonschema
import pytest
from referencing import Registry, Resource

from tests.documents import as_typed
from tests.host import driving, installed, wheels, writer
from tests.host.container import ZSTD_FSTAB, Container
from tests.host.installed import CONFIG, ROOTS
from tests.host.sandbox import LIBVIRT
from tests.oracles import oracle

IMAGES = "/var/lib/libvirt/images"
RAW, BASE, OVERLAY, HALTED = (f"{IMAGES}/{n}" for n in ("a.raw", "base.qcow2", "b.qcow2", "c.raw"))
EVERYDAY = f"{IMAGES}/v.qcow2"
ISO = "/srv/a.iso"
SCHEMAS = Path(__file__).parents[3] / "schemas"
DISKS = {"a": (RAW, "raw"), "b": (OVERLAY, "qcow2"), "c": (HALTED, "raw")}
VIRSH = "virsh -q -c qemu:///system"
OWN = "/home/alice/images"
SESSION = "runuser -u alice -- env XDG_RUNTIME_DIR=/run/user/1000 virsh -q -c qemu:///session"
NEW = {"v": (EVERYDAY, "qcow2"), "s": (f"{OWN}/s.raw", "raw")}
DECLARED = f"""version: 1
paths: [{{path: {IMAGES}, nocow: true, existing: rewrite, allow: [suspend-machines]}}]
"""
CDROM = f"""<disk type='file' device='cdrom'><driver name='qemu' type='raw'/><source file='{ISO}'/>
<target dev='hdc' bus='ide'/><readonly/></disk>"""


@pytest.fixture(scope="module")
def host(make_container, wheelhouse) -> Container:
    container = make_container(fstab=ZSTD_FSTAB, packages=LIBVIRT, size="4G")
    wheels.install(container, wheelhouse)
    container.write(CONFIG, DECLARED.encode(), mode="600")
    container.write("/root/drive.py", driving.DRIVE.encode())
    container.write("/root/check.py", writer.CHECK.encode())
    container.run(f"truncate -s 1M {ISO}")
    caches = {"a": "none", "b": "writeback", "c": "none"}
    for name, (disk, kind) in DISKS.items():
        more = CDROM if name == "a" else ""
        xml = writer.DOMAIN.format(name=name, disk=disk, format=kind, cache=caches[name], more=more)
        container.write(f"/root/{name}.xml", xml.encode())
        container.run(f"{VIRSH} define /root/{name}.xml")
    return container


def begin(host: Container, *names: str) -> None:
    """Copy-on-write images, and machines that write to them."""
    made = {"a": writer.make(RAW), "c": writer.make(HALTED)}
    made["b"] = f"{writer.make(BASE, 'qcow2')}; rm -f {OVERLAY}; "
    made["b"] += f"qemu-img create -q -f qcow2 -b {BASE} -F qcow2 {OVERLAY}"
    for each in (*DISKS, "v"):
        host.run(f"{VIRSH} destroy {each}; {VIRSH} managedsave-remove {each}", check=False)
    # libvirtd ends when it is idle, and 9.0 crashes at its next start where a network is active and
    # dnsmasq is not installed.
    host.run(f"{VIRSH} net-destroy default", check=False)
    host.run(f"rm -rf /var/lib/vmtune {IMAGES}/*; chattr -C {IMAGES}")
    for each in names:
        host.run(f": >/var/log/{each}.log; {made[each]}; {VIRSH} start {each}")
    for each in names:
        grows(host, each)


def grows(host: Container, name: str) -> None:
    """It writes: twenty more blocks than by now."""
    host.run(
        f"had=$(wc -l </var/log/{name}.log); "
        f"until [ $(wc -l </var/log/{name}.log) -gt $((had + 20)) ]; do sleep 0.05; done"
    )


def apply(host: Container, *words: str, code: int = 0) -> str:
    done = host.run([ROOTS, "--config", CONFIG, "apply", "--yes", *words], check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def drive(host: Container, where: str, what: str = "") -> tuple[int, str]:
    argv = ["/opt/vmtune/bin/python", "/root/drive.py", where, what]
    words = ["--config", CONFIG, "apply", "--yes", *(["--json"] * (not where.isdigit()))]
    done = host.run([*argv, *words], check=False)
    return done.returncode, done.stdout + done.stderr


def said(host: Container, command: str) -> str:
    done = host.run([ROOTS, "--config", CONFIG, command], check=False)
    return " ".join((done.stdout + done.stderr).split())


def virsh(name: str) -> str:
    return SESSION if name == "s" else VIRSH


def domstate(host: Container, name: str) -> str:
    return host.run(f"{virsh(name)} domstate {name}").stdout.strip()


def valid(event: dict[str, object]) -> None:
    """Against schemas/events.schema.json, which names others."""
    read = {path.name: json.loads(path.read_text()) for path in SCHEMAS.glob("*.json")}
    known = Registry().with_resources(
        (name, Resource.from_contents(schema)) for name, schema in read.items()
    )
    schema = read["events.schema.json"]
    jsonschema.Draft202012Validator(schema, registry=known).validate(event)


def whole(host: Container, name: str) -> int:
    """How many blocks were acknowledged, all of which are there; and it writes further ones."""
    grows(host, name)
    host.run(f"{virsh(name)} suspend {name}")
    disk = {**DISKS, **NEW}[name]
    found = int(host.run(["python3", "/root/check.py", name, *disk]).stdout)
    host.run(f"{virsh(name)} resume {name}")
    grows(host, name)
    return found


def left_over(host: Container) -> str:
    """What nobody needs any more: copies, records, saves."""
    folders = f"{IMAGES} /var/lib/vmtune/machines /var/lib/libvirt/qemu/save "
    folders += "$(ls -d /home/alice/images /home/alice/.config/libvirt/qemu/save)"
    named = "a.raw|b.qcow2|base.qcow2|c.raw|v.qcow2|s.raw"
    return host.run(f"find {folders} -type f | grep -vE '/({named})$'", check=False).stdout


def test_without_the_risk_it_is_named(host):
    begin(host, "a", "b", "c")
    host.run(f"{VIRSH} suspend c")
    host.write("/root/bare.yaml", DECLARED.replace(", allow: [suspend-machines]", "").encode())
    done = host.run([ROOTS, "--config", "/root/bare.yaml", "plan"])
    told = " ".join(done.stdout.split())
    assert told.count("V702") >= 4
    assert ": machine a do shut the machine down" in told
    assert "`allow: [suspend-machines]` has the machine b saved and started again" in told


@oracle(
    "virsh",
    "V725",
    "the machine is {}, and stands still for up to about {} (at {}/s): its clock is behind by "
    "that, and connections to it may break",
)
def test_machines_go_on_with_all_that_they_wrote(host):
    before = {name: host.run(f"{VIRSH} dumpxml --inactive {name}").stdout for name in DISKS}
    inodes = host.run(f"stat -c %i {RAW} {BASE} {OVERLAY} {HALTED}").stdout.split()
    told = said(host, "plan")
    assert told.count("goes on: no reboot V725") == 3
    assert "the machine is paused, and stands still for up to about" in told
    done = host.run([ROOTS, "--config", CONFIG, "apply", "--yes", "--json"])
    events = [json.loads(line) for line in done.stdout.splitlines()]
    for each in events:
        valid(each)
    steps = [each for each in events if each.get("event") == "step" and each["number"] == 2]
    assert [each["subject"] for each in steps] == ["machine a"] * 4
    assert steps[-1]["doing"] == "running again"
    assert {"event": "verified", "held": 4, "of": 4}.items() <= events[-2].items()
    assert domstate(host, "c") == "paused"
    host.run(as_typed("virsh resume", f"{VIRSH} resume c"))
    for name in DISKS:
        assert whole(host, name) > 40
        assert host.run(f"{VIRSH} dumpxml --inactive {name}").stdout == before[name]
    for path in (RAW, BASE, OVERLAY, HALTED):
        assert installed.is_nocow(host, path)
    after = host.run(f"stat -c %i {RAW} {BASE} {OVERLAY} {HALTED}").stdout.split()
    assert not set(inodes) & set(after)
    assert left_over(host) == ""
    assert "As declared: 2 in sync." in said(host, "status")


def test_libvirt_goes_on_with_them(host):
    for name in ("a", "b"):
        host.run(as_typed("virsh managedsave", f"{VIRSH} managedsave {name}"))
        host.run(as_typed("virsh start", f"{VIRSH} start {name}"))
        assert whole(host, name) > 40
    host.run(f"{VIRSH} snapshot-create-as b now; {VIRSH} snapshot-revert b now")
    host.run(f"{VIRSH} snapshot-delete b now")


EFFECTS = ["on record", "saved", "save on record", "rewritten", "held", "started", "forgotten"]
HELD = "was saved by run 1 and started again, but it is still paused"


@pytest.mark.parametrize("number", range(1, 8), ids=EFFECTS)
@oracle("virsh", "V539", "V726")
def test_killed_it_is_started_by_the_next_run(host, number):
    begin(host, "a")
    code, told = drive(host, str(number))
    assert code in {-9, 137}, told
    left = {2: "shut off", 3: "shut off", 4: "shut off", 5: "paused"}.get(number, "running")
    assert domstate(host, "a") == left
    if left == "running":
        assert "V726" not in said(host, "plan")
    else:
        told = HELD if left == "paused" else "was saved by run 1 and not started again"
        for command in ("plan", "status"):
            assert f"machine a {told} V726" in said(host, command)
        assert f"fail machine a {told} V539" in said(host, "doctor")
        told = apply(host, code=0 if number > 3 else 3)
        is_left = "started, but paused" if left == "paused" else "saved, and off"
        assert f"machine a {is_left} -> on" in " ".join(told.split())
    assert domstate(host, "a") == "running"
    apply(host)
    assert whole(host, "a") > 20
    assert installed.is_nocow(host, RAW)
    if number != 6:  # a record of a machine that is on waits for the next run that does something
        assert left_over(host) == ""
    assert "2 in sync" in said(host, "status")
    host.run(f"{VIRSH} managedsave a")  # by a person, who starts it when they want to
    assert "V726" not in said(host, "plan")


def test_a_person_pauses_it(host):
    """What a person pauses is not held: its record is one of a machine that is on."""
    begin(host, "a")
    drive(host, "6")
    host.run(f"{VIRSH} suspend a")
    assert "V726" not in said(host, "plan")
    host.run(f"{VIRSH} resume a")


def test_killed_while_it_is_saved(host):
    """Libvirt goes on without vmtune: the machine is off later than the kill."""
    begin(host, "a")
    drive(host, '"saving', "sleep 0.2; kill -9 $PID")
    host.run(f"until ! {VIRSH} domstate a --reason | grep -q saving; do sleep 0.1; done")
    assert domstate(host, "a") == "shut off"
    assert "machine a was saved by run 1 and not started again V726" in said(host, "plan")
    apply(host, code=3)
    apply(host)
    assert whole(host, "a") > 20
    assert left_over(host) == ""


def test_after_a_boot_it_is_started(host):
    begin(host, "a")
    drive(host, "3")
    host.reboot()
    for command in ("plan", "status"):
        assert "machine a was saved by run 1 and not started again V726" in said(host, command)
    apply(host, code=3)
    apply(host)
    assert whole(host, "a") > 20
    assert installed.is_nocow(host, RAW)
    assert left_over(host) == ""


@pytest.mark.parametrize("step", ['"saving', '"saved; rewriting', '"starting it again'])
def test_libvirt_is_killed(host, step):
    """Its daemon is started again, and finds the machine; or the next run starts the machine."""
    begin(host, "a")
    code, told = drive(host, step, "sleep 0.3; kill -9 $(pgrep -u root libvirtd)")
    assert code in {0, 3}, told
    if domstate(host, "a") != "running":
        assert "V726" in said(host, "plan"), told
        host.run([ROOTS, "--config", CONFIG, "apply", "--yes"], check=False)
    assert domstate(host, "a") == "running", told
    apply(host)
    assert whole(host, "a") > 20
    assert left_over(host) == ""


def test_qemu_is_killed_while_it_is_saved(host):
    """As after a power cut: nothing that was acknowledged is lost; a start is a person's to do."""
    begin(host, "a")
    code, told = drive(host, '"saving', "kill -9 $(cat /run/libvirt/qemu/a.pid)")
    assert code == 3, told
    assert "machine a was not saved" in told or "is not seen to be running" in told
    assert domstate(host, "a") == "shut off"
    host.run(["python3", "/root/check.py", "a", *DISKS["a"]])
    assert "V726" not in said(host, "plan")
    assert left_over(host) == ""


def test_qemu_is_killed_while_it_is_started(host):
    """Before it has read its memory: the save is there still, and the next run starts from it."""
    begin(host, "a")
    born = "until pid=$(pgrep -f guest=[a],); do :; done; kill -9 $pid"
    code, told = drive(host, '"starting it again', born)
    assert code == 3, told
    assert "machine a is not seen to be running again: " in told
    assert domstate(host, "a") == "shut off"
    assert "was saved by run 1 and not started again V726" in said(host, "plan")
    apply(host)
    assert whole(host, "a") > 20
    assert left_over(host) == ""


def test_qemu_is_killed_while_it_is_held(host):
    """Started, but not gone on: it is off as after a power cut, and nobody calls it saved."""
    begin(host, "a")
    argv = "/opt/vmtune/bin/python /root/drive.py 5:STOP '' --config"
    done = host.run(
        f"{argv} {CONFIG} apply --yes 2>&1 & until grep -qs '^State:.T' /proc/$!/status; "
        "do sleep 0.1; done; kill -9 $(cat /run/libvirt/qemu/a.pid); "
        f"until {VIRSH} domstate a | grep -q off; do sleep 0.1; done; kill -CONT $!; wait $!",
        check=False,
    )
    told = " ".join(done.stdout.split())
    assert done.returncode == 3, told
    assert "machine a is not seen to be running again: " in told
    assert "its memory is gone: `virsh -c qemu:///system start" in told
    host.run(["python3", "/root/check.py", "a", *DISKS["a"]])
    assert installed.is_nocow(host, RAW)
    for command in ("plan", "status"):
        assert "V726" not in said(host, command)


def test_interrupted_it_goes_on(host):
    begin(host, "a")
    code, told = drive(host, '"saved; rewriting', "kill -INT $PID")
    assert code == 130, told
    assert domstate(host, "a") == "running"
    assert whole(host, "a") > 20
    assert left_over(host) == ""


def test_it_cannot_be_saved(host):
    begin(host, "a")
    pid = host.run("cat /run/libvirt/qemu/a.pid").stdout
    host.run("chattr +i /var/lib/libvirt/qemu/save")
    try:
        told = apply(host, code=3)
    finally:
        host.run("chattr -i /var/lib/libvirt/qemu/save")
    assert "machine a was not saved: virsh" in told
    assert host.run("cat /run/libvirt/qemu/a.pid").stdout == pid
    assert domstate(host, "a") == "running"
    assert whole(host, "a") > 20
    assert left_over(host) == ""


def test_it_cannot_be_started(host):
    begin(host, "a")
    code, told = drive(host, '"saved; rewriting', f"mv {ISO} {ISO}.away")
    assert code == 3, told
    assert "machine a is not seen to be running again: " in told
    assert "starts it where it stood" in told
    assert domstate(host, "a") == "shut off"
    assert "was saved by run 1 and not started again V726" in said(host, "status")
    host.write("/home/alice/vmtune.yaml", DECLARED.encode())
    alices = host.run(
        [ROOTS, "--config", "/home/alice/vmtune.yaml", "status"], user="alice", check=False
    )
    assert "V726" in alices.stdout, alices.stderr
    told = apply(host, code=3)
    assert "machine a is not seen to be running again: " in told
    host.run(f"mv {ISO}.away {ISO}")
    apply(host)
    assert whole(host, "a") > 20
    assert installed.is_nocow(host, RAW)
    assert left_over(host) == ""


def test_somebody_else_starts_it(host):
    begin(host, "a")
    code, told = drive(host, '"saved; rewriting', f"{VIRSH} start a")
    assert code in {0, 3}, told
    assert whole(host, "a") > 20
    apply(host)
    assert whole(host, "a") > 20
    assert left_over(host) == ""


def test_somebody_else_drops_its_save(host):
    """To start it then would be a reboot, which nobody said yes to."""
    begin(host, "a")
    code, told = drive(host, '"saved; rewriting', f"{VIRSH} managedsave-remove a")
    assert code == 3, told
    assert "its save is not there any more" in told
    assert domstate(host, "a") == "shut off"
    assert "V726" not in said(host, "plan")
    assert left_over(host) == ""


def test_another_file_in_the_place_of_its_image(host):
    begin(host, "a")
    host.run(f"cp {RAW} {IMAGES}/other; mv {RAW} {IMAGES}/away; mv {IMAGES}/other {RAW}")
    assert "V725" not in said(host, "plan")
    host.run(f"mv {IMAGES}/away {RAW}")
    assert whole(host, "a") > 20


def test_those_that_may_not_are_waited_for(host):
    begin(host, "a", "b")
    host.run(f"{VIRSH} snapshot-create-as b now")
    told = said(host, "plan")
    assert told.count("machine b, which is not suspended, because it has internal snapshots") == 1
    done = host.run(
        f"{ROOTS} --config {CONFIG} apply --yes --wait --json | while read line; do echo $line; "
        f"case $line in *awaits*) {VIRSH} destroy b;; esac; done"
    )
    assert '"running again"' in done.stdout
    assert whole(host, "a") > 20
    for path in (RAW, BASE, OVERLAY):
        assert installed.is_nocow(host, path)
    host.run(f"{VIRSH} snapshot-delete b now")


def everyday(host: Container, **more: str) -> None:
    """The one machine v, as virt-manager makes it, on copy-on-write; it writes."""
    begin(host)
    known = {"type": "file", "source": f"file='{EVERYDAY}'", "video": "virtio", "memory": ""}
    known["driver"] = ""
    xml = writer.EVERYDAY.format(name="v", **{**known, "more": "", **more})
    host.write("/root/v.xml", xml.encode())
    host.write("/root/net.xml", writer.NETWORK.encode())
    host.run(f"{VIRSH} undefine v; mkdir -p /var/lib/libvirt/dnsmasq", check=False)
    if "default" not in host.run(f"{VIRSH} net-list --name").stdout:
        host.run(f"{VIRSH} net-undefine default; {VIRSH} net-define /root/net.xml")
        host.run(f"{VIRSH} net-start default")
    host.run(f": >/var/log/v.log; {writer.make(EVERYDAY, 'qcow2', writer.BIOS)}")
    host.run(f"{VIRSH} define /root/v.xml")
    if "volume" in more.get("source", ""):
        host.run(f"{VIRSH} pool-refresh images")
    host.run(f"{VIRSH} start v")
    grows(host, "v")


def test_a_machine_as_virt_manager_makes_it(host):
    """With SPICE, USB redirection, a TPM, an agent's channel, sound, a watchdog and a tablet."""
    everyday(host)
    assert "machine v is saved, its 1 image is rewritten, and it goes on: no reboot V725" in said(
        host, "plan"
    )
    apply(host)
    assert host.run("pidof swtpm").stdout.strip()
    assert whole(host, "v") > 20
    assert installed.is_nocow(host, EVERYDAY)
    assert left_over(host) == ""
    assert "2 in sync" in said(host, "status")


def test_killed_a_machine_with_a_tpm_is_started_by_the_next_run(host):
    everyday(host)
    code, told = drive(host, "2")
    assert code in {-9, 137}, told
    assert domstate(host, "v") == "shut off"
    apply(host, code=3)
    apply(host)
    assert whole(host, "v") > 20
    assert installed.is_nocow(host, EVERYDAY)


def test_a_machine_with_a_viewer_is_left_alone(host):
    """Its USB stick may be the machine's by now, and would be unplugged."""
    everyday(host)
    host.write("/root/view.py", writer.VIEW.encode())
    port = host.run(f"{VIRSH} domdisplay v").stdout.strip().rpartition(":")[2]
    dial = f"import socket, sys; s = socket.create_connection(('127.0.0.1', {port})); "
    dial += "print('connected', flush=True); sys.stdin.read()"
    for argv in (["python3", "/root/view.py", "v"], ["python3", "-c", dial]):
        viewer = subprocess.Popen(
            host.command(argv), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert viewer.stdout.readline() == "connected\n"
        told = said(host, "plan")
        assert "machine v, which is not suspended, because a viewer is connected to its" in told
        assert "V725" not in told
        viewer.communicate("")
        host.run(
            "until /opt/vmtune/bin/vmtune --config " + CONFIG + " plan | grep -q V725; "
            "do sleep 0.1; done"
        )


MORE = {
    "a disk named by its volume": {"type": "volume", "source": "pool='images' volume='v.qcow2'"},
    "memory of a memfd": {
        "memory": "<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>",
        "video": "qxl",
    },
    "an iothread": {"memory": "<iothreads>1</iothreads>", "driver": " iothread='1'"},
    "a smart card, a folder of SPICE": {
        "more": "<smartcard mode='passthrough' type='spicevmc'/><channel type='spiceport'>"
        "<source channel='org.spice-space.webdav.0'/>"
        "<target type='virtio' name='org.spice-space.webdav.0'/></channel>"
    },
}


@pytest.mark.parametrize("what", MORE)
def test_what_else_a_machine_may_have(host, what):
    if "volume" in what:
        host.run(f"{VIRSH} pool-define-as images dir --target {IMAGES}; {VIRSH} pool-start images")
    everyday(host, **MORE[what])
    apply(host)
    assert whole(host, "v") > 20
    assert installed.is_nocow(host, EVERYDAY)
    assert left_over(host) == ""
    host.run(f"{VIRSH} managedsave v; {VIRSH} start v")
    assert whole(host, "v") > 20
    host.run(f"{VIRSH} pool-destroy images; {VIRSH} pool-undefine images", check=False)


# --- a user's own libvirt


@pytest.fixture
def session(host):
    """The machine s of alice's own libvirt, on copy-on-write; it writes. A configuration for it."""
    begin(host)
    host.run(as_typed("loginctl enable-linger", "loginctl enable-linger alice"))
    host.run("until [ -S /run/user/1000/systemd/private ]; do sleep 0.1; done")
    timers = as_typed("systemctl --user list-timers")
    host.run(f"XDG_RUNTIME_DIR=/run/user/1000 {timers}", user="alice")
    host.run(f"{SESSION} destroy s; {SESSION} undefine s --managed-save", check=False)
    host.run(f"rm -rf {OWN}; mkdir {OWN}; {writer.make(f'{OWN}/s.raw')}; chown -R alice: {OWN}")
    host.run(": >/var/log/s.log; chown alice: /var/log/s.log")
    more = "<interface type='user'><model type='virtio'/></interface>"
    known = {"name": "s", "disk": f"{OWN}/s.raw", "format": "raw", "cache": "none", "more": more}
    host.write("/home/alice/s.xml", writer.DOMAIN.format(**known).encode(), user="alice")
    host.run(f"{SESSION} define /home/alice/s.xml; {SESSION} start s")
    grows(host, "s")
    host.write(CONFIG, DECLARED.replace(IMAGES, OWN).encode(), mode="600")
    yield host
    host.write(CONFIG, DECLARED.encode(), mode="600")
    host.run(f"{SESSION} destroy s; {SESSION} undefine s --managed-save", check=False)


def test_a_machine_of_a_users_own_libvirt(session):
    host = session
    before = host.run(f"{SESSION} dumpxml --inactive s").stdout
    told = said(host, "plan")
    assert "machine s is saved, its 1 image is rewritten, and it goes on: no reboot V725" in told
    assert "in /home/alice/.config/libvirt/qemu/save for its memory" in told
    apply(host)
    assert whole(host, "s") > 20
    assert installed.is_nocow(host, f"{OWN}/s.raw")
    assert host.run(f"stat -c %U {OWN}/s.raw").stdout.strip() == "alice"
    assert host.run("pgrep -u alice qemu").stdout.strip()
    assert host.run(f"{SESSION} dumpxml --inactive s").stdout == before
    assert left_over(host) == ""
    assert "2 in sync" in said(host, "status")
    assert not host.run("pgrep -u alice -x virsh", check=False).stdout


@pytest.mark.parametrize("number", range(1, 8), ids=EFFECTS)
def test_killed_a_users_machine_is_started_by_the_next_run(session, number):
    """Also where the user's libvirt, which ends by itself without a machine, does not run by then.

    The one that is started then must not be a child of the run: it would end with a service.
    """
    host = session
    code, told = drive(host, str(number))
    assert code in {-9, 137}, told
    is_off = number in {2, 3, 4}
    left = "shut off" if is_off else "paused" if number == 5 else "running"
    assert domstate(host, "s") == left
    if left == "paused":
        assert f"machine s {HELD} V726" in said(host, "plan")
        assert "`virsh -c qemu:///session resume" in said(host, "doctor")
        assert "machine s started, but paused -> on" in " ".join(apply(host).split())
    if is_off:
        if number != 3:
            host.run("pkill -u alice libvirtd; while pgrep -u alice libvirtd; do sleep 0.1; done")
        for command in ("plan", "status"):
            assert "machine s was saved by run 1 and not started again V726" in said(host, command)
        told = said(host, "doctor")
        assert "fail machine s was saved by run 1 and not started again V539" in told
        assert "qemu:///session start" in told
        assert "(as alice)" in told
        assert host.run("pgrep -u alice libvirtd", check=False).stdout == "" or number == 3
        told = apply(host, code=0 if number == 4 else 3)
        assert "machine s saved, and off -> on" in " ".join(told.split())
        if number != 3:
            assert ".service" in host.run("cat /proc/$(pgrep -u alice libvirtd)/cgroup").stdout
    elif left == "running":
        assert "V726" not in said(host, "plan")
    assert domstate(host, "s") == "running"
    apply(host)
    assert whole(host, "s") > 20
    assert installed.is_nocow(host, f"{OWN}/s.raw")
    if number != 6:
        assert left_over(host) == ""


def test_a_users_qemu_is_killed_while_it_is_saved(session):
    host = session
    code, told = drive(host, '"saving', "kill -9 $(cat /run/user/1000/libvirt/qemu/run/s.pid)")
    assert code == 3, told
    assert domstate(host, "s") == "shut off"
    host.run(["python3", "/root/check.py", "s", *NEW["s"]])
    assert "V726" not in said(host, "plan")
    assert left_over(host) == ""


def test_the_users_libvirt_is_killed_while_its_machine_is_off(session):
    host = session
    code, told = drive(host, '"saved; rewriting', "kill -9 $(pgrep -u alice libvirtd)")
    assert code == 0, told
    assert domstate(host, "s") == "running", told
    assert whole(host, "s") > 20
    assert left_over(host) == ""


def test_after_a_boot_a_users_machine_is_started(session):
    host = session
    drive(host, "3")
    host.reboot()
    assert host.run("pgrep -u alice libvirtd", check=False).stdout == ""
    assert "machine s was saved by run 1 and not started again V726" in said(host, "status")
    host.run("loginctl disable-linger alice; while [ -d /run/user/1000 ]; do sleep 0.1; done")
    told = apply(host, code=3)
    assert "alice is not logged in, so their libvirt cannot be started" in told
    assert "`virsh -c qemu:///session start" in told
    host.run("loginctl enable-linger alice; until [ -d /run/user/1000 ]; do sleep 0.1; done")
    apply(host, code=3)
    apply(host)
    assert whole(host, "s") > 20
    assert installed.is_nocow(host, f"{OWN}/s.raw")
    assert left_over(host) == ""
