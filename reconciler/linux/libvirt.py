"""Machines of the system's libvirt (virsh(1)): which are on, and may be saved; save and start one.

Only a libvirt that runs is asked: to connect would start one, and with it the machines that start
by themselves. A machine that cannot be judged counts as one that must not be saved.
"""

from __future__ import annotations

import os
import re
import stat
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from reconciler.errors import HostError
from reconciler.facts.machines import OFF, PAUSED, RUNNING, SAVES, Machine
from reconciler.formats import domain
from reconciler.linux import files, process, viewers
from reconciler.value import replace

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from reconciler.formats.domain import Domain


_CONNECT = ("-q", "-c", "qemu:///system")

_DAEMONS = frozenset({"libvirtd", "virtqemud"})

_PIDS = "/run/libvirt/qemu"

_CONFIG = "/etc/libvirt/qemu.conf"

_QUESTION = 20.0
"""Seconds for what virsh only asks."""

_LONG = 6 * 3600.0
"""Seconds for saving and starting: a machine may have much memory, and the disk be slow."""

_SETTLES = 120.0
"""Seconds in which a machine is seen to be on, or off, after a try that failed: a daemon that was
killed is started again meanwhile, and ends what was under way."""

_MARGIN = 64 << 20
"""Bytes that a save needs beside the memory: for devices, the definition, tables."""

_WHOLE = b"LibvirtQemudSave"
"""How a file begins that libvirt has saved a machine in; "LibvirtQemudPart" one that was cut off
(qemu_saveimage.h)."""


def machines() -> tuple[Machine, ...]:
    """Return every machine that is on; none where no libvirt runs; HostError where it is mute."""
    if not is_running():
        return ()
    try:
        every, on, nets = _asked_each("list --all --uuid", "list --uuid", "net-list --name")
        uuids, networks = every.split(), frozenset(nets.split())
        texts = _asked_each(*(f"dumpxml {uuid}" for uuid in uuids))
        found = zip(uuids, texts, strict=True)
        known = {uuid: _with_volumes(domain.parsed(text)) for uuid, text in found}
        return tuple(_machine(uuid, known, networks) for uuid in on.split() if uuid in known)
    except ValueError as error:
        raise HostError(f"libvirt gave a definition that cannot be read: {error}") from None


def machine(uuid: str) -> Machine:
    """Return one machine, judged anew; HostError where it is not on, or cannot be asked about."""
    for each in machines():
        if each.uuid == uuid:
            return each
    raise HostError("it is not on any more", "apply again")


def is_running() -> bool:
    """Tell whether the system's libvirt runs, and virsh is there to ask it."""
    return bool(process.find("virsh")) and process.running(_DAEMONS)


def state(uuid: str) -> str:
    """Return RUNNING, PAUSED, OFF or another word of virsh domstate; HostError."""
    return _asked("domstate", uuid).strip()


def is_defined(uuid: str) -> bool:
    """Tell whether libvirt knows a machine; HostError where it does not answer."""
    return uuid in _asked("list", "--all", "--uuid").split()


def is_on(name: str) -> bool:
    """Tell whether a machine has a process, also where no libvirt answers."""
    return bool(_pid(name))


def has_open(name: str, path: str) -> bool:
    """Tell whether the process of a machine has the file open that a path leads to now."""
    number = _pid(name)
    return bool(number) and _has_open(number, path)


def is_busy(uuid: str) -> bool:
    """Tell whether libvirt is at work on a machine: it is being saved, or the like; HostError."""
    return _is_job(_asked("domjobinfo", uuid))


def _is_job(text: str) -> bool:
    return text.split()[:3] != ["Job", "type:", "None"]


def is_being_saved(uuid: str) -> bool:
    """Tell whether a machine is just now being saved; False where libvirt does not say."""
    with suppress(HostError):
        return _asked("domstate", uuid, "--reason").strip() == f"{PAUSED} (saving)"
    return False


def save_of(name: str) -> str:
    """Tell which file holds the memory of a machine (inode, time, size); "" where none does.

    One that was cut off is none: libvirt starts the machine without it.
    """
    path = _save(name)
    with suppress(OSError), open(path, "rb") as file:
        status = os.fstat(file.fileno())
        if file.read(len(_WHOLE)) == _WHOLE:
            return f"{status.st_ino} {status.st_mtime_ns} {status.st_size}"
    return ""


def has_save(uuid: str) -> bool:
    """Tell whether libvirt says that a machine is saved; HostError."""
    return _info(_asked("dominfo", uuid)).get("Managed save") == "yes"


def _save(name: str) -> str:
    return f"{SAVES}/{name}.save"


def _asked(*words: str) -> str:
    """Read-only (-r): it may not change anything, and needs no password."""
    return process.must("virsh", "-r", *_CONNECT, *words, timeout=_QUESTION)


_END = "== end of an answer =="
"""Without a dash in front: virsh 11 takes that for an option of its ``echo``."""


def _asked_each(*commands: str) -> list[str]:
    """Return the answer to each command of virsh: one process, because each takes a while to start.

    HostError where it complains of any of them.
    """
    if not commands:
        return []
    script = f"; echo '{_END}'; ".join(commands) + f"; echo '{_END}'"
    done = process.run("virsh", "-r", *_CONNECT, script, timeout=_QUESTION)
    answers = done.stdout.split(_END)
    if done.returncode or done.stderr.strip() or len(answers) != len(commands) + 1:
        raise HostError(f"virsh: {done.stderr.strip() or 'it gave no answer'}")
    return answers[:-1]


def _info(text: str) -> dict[str, str]:
    rows = (line.partition(":") for line in text.splitlines())
    return {name.strip(): value.strip() for name, _, value in rows}


def _machine(uuid: str, known: Mapping[str, Domain], networks: frozenset[str]) -> Machine:
    its = known[uuid]
    memory = its.memory + its.memory // 64 + _MARGIN
    problem = next(_problems(uuid, known, networks), "")
    paths = tuple(map(os.path.realpath, its.files))
    return Machine(uuid, its.name, state(uuid), _pid(its.name), memory, _free(), paths, problem)


def _with_volumes(its: Domain) -> Domain:
    """Return what a definition says, with the files of the disks that are named by their volume."""
    paths, problems = [], []
    for pool, volume in its.volumes:
        try:
            path = _asked("vol-path", "--pool", pool, "--vol", volume).strip()
        except HostError:
            problems.append(f"its volume {volume} is not found in the pool {pool}")
        else:
            paths.append(path)
    files_ = dict.fromkeys((*its.files, *paths))
    return replace(its, files=tuple(files_), problems=(*its.problems, *problems))


def _pid(name: str) -> int:
    """Return the process whose number libvirt keeps, if that is one of QEMU's."""
    with suppress(OSError, ValueError):
        number = int(files.read(f"{_PIDS}/{name}.pid") or b"")
        comm = files.read(f"/proc/{number}/comm") or b""
        return number if b"qemu" in comm or b"kvm" in comm else 0
    return 0


def _free() -> int:
    with suppress(OSError):
        space = os.statvfs(SAVES)
        return space.f_bavail * space.f_frsize
    return 0


def _problems(uuid: str, known: Mapping[str, Domain], networks: frozenset[str]) -> Iterator[str]:
    """Yield each reason why a machine must not be saved and started again."""
    yield from _of_now(uuid, known[uuid])
    yield from known[uuid].problems
    yield from _of_its_disks(uuid, known)
    if missing := sorted(set(known[uuid].networks) - networks):
        yield f"its network {missing[0]} is not active, so it would not start again"
    if manager := _lock_manager():
        yield f"libvirt's lock manager {manager} is not known to allow it"


def _of_now(uuid: str, its: Domain) -> Iterator[str]:
    """Yield what there is against it at this moment."""
    text, now, job, snapshots, checkpoints = _asked_each(
        f"dominfo {uuid}",
        f"domstate {uuid} --reason",
        f"domjobinfo {uuid}",
        f"snapshot-list {uuid} --internal --name",
        f"checkpoint-list {uuid} --name",
    )
    info, number = _info(text), _pid(its.name)
    if info.get("Persistent") != "yes":
        yield "it is transient: libvirt forgets it once it is off"
    if info.get("Managed save") != "no" or os.path.lexists(_save(its.name)):
        yield "a managed save of it is there already"
    if not _STEADY.fullmatch(now.strip()):
        yield f"it is {now.strip()}"
    if _is_job(job):
        yield "a job of it runs: a backup, a migration or a save"
    if snapshots.strip():
        yield "it has internal snapshots"
    if checkpoints.strip():
        yield "it has checkpoints of a backup"
    yield from _of_its_process(number, its)


def _of_its_process(number: int, its: Domain) -> Iterator[str]:
    if not number:
        yield "its process is not found"
    elif lost := sorted({file for file in its.files if not _has_open(number, file)}):
        yield f"{lost[0]} is not the file that it has open"
    elif not _has_program(number):
        yield "QEMU was updated since it was started, and the new one may not know its memory"
    elif its.viewers and (viewer := viewers.problem(number, its.viewers)):
        yield viewer


_STEADY = re.compile(rf"{RUNNING} \(.*\)|{PAUSED} \((user|unknown|from snapshot)\)")
"""How a machine is that does what it should: not one that an error on its disk has paused."""


def _has_open(number: int, path: str) -> bool:
    """Tell whether a process has the file open that a path leads to now (proc_pid_fd(5))."""
    with suppress(OSError):
        wanted = os.stat(path)
        is_device = stat.S_ISBLK(wanted.st_mode)
        for name in os.listdir(f"/proc/{number}/fd"):
            with suppress(OSError):  # closed since
                found = os.stat(f"/proc/{number}/fd/{name}")
                # libvirt gives a machine a /dev of its own: there a device is another inode.
                if os.path.samestat(found, wanted) or (
                    is_device and stat.S_ISBLK(found.st_mode) and found.st_rdev == wanted.st_rdev
                ):
                    return True
    return False


def _has_program(number: int) -> bool:
    """Tell whether the file that a process was started from is still there (proc_pid_exe(5))."""
    with suppress(OSError):
        return not os.readlink(f"/proc/{number}/exe").endswith(" (deleted)")
    return False


def _of_its_disks(uuid: str, known: Mapping[str, Domain]) -> Iterator[str]:
    its = known[uuid]
    if strange := [disk for disk in its.disks if not re.fullmatch("[A-Za-z0-9]+", disk)]:
        yield f"its disk {strange[0]!r} has a name that is not known here"
        return
    jobs = _asked_each(*(f"blockjob {uuid} {disk} --info" for disk in its.disks))
    for disk, job in zip(its.disks, jobs, strict=True):
        if job.strip():
            yield f"a job of its disk {disk} runs"
    mine = set(map(os.path.realpath, its.files))
    for other, domain_ in known.items():
        if other != uuid and (both := mine.intersection(map(os.path.realpath, domain_.files))):
            yield f"the machine {domain_.name} has its disk {min(both)}, too"


def _lock_manager() -> str:
    """Return what qemu.conf says of a lock manager; "" for none."""
    try:
        text = os.fsdecode(files.read(_CONFIG) or b"")
    except OSError as error:
        return f"in {_CONFIG} ({error.strerror})"
    found = re.findall(r'^\s*lock_manager\s*=\s*"?([^"\n]*)', text, re.MULTILINE)
    return next((each.strip() for each in found if each.strip() not in {"", "nop"}), "")


# --- what writes


def save(uuid: str, name: str, was: str) -> str:
    """Save a machine, see that it is off and its memory on disk; return which file (save_of).

    It will be as it ``was`` (RUNNING or PAUSED) once it is started. HostError: what libvirt said;
    the machine may be in any state then.
    """
    flag = "--paused" if was == PAUSED else "--running"
    process.must("virsh", *_CONNECT, "managedsave", uuid, flag, timeout=_LONG)
    now, found = state(uuid), save_of(name)
    if now != OFF or not found or not has_save(uuid) or _pid(name):
        raise HostError(
            f"libvirt said that it was saved, but it is {now}, and its save is not whole"
        )
    files.sync_filesystem(SAVES)  # its images are rewritten next: a power cut must lose neither
    return found


def settled(uuid: str) -> str:
    """Wait until nobody is at work on a machine, and return its state; HostError."""
    end = time.monotonic() + _SETTLES
    while True:
        try:
            now = state(uuid)
            if now == OFF or not is_busy(uuid):
                return now
        except HostError:
            if time.monotonic() > end:
                raise
        if time.monotonic() > end + _LONG:
            raise HostError("libvirt does not come to an end with it")
        time.sleep(0.2)


def start(uuid: str, was: str) -> None:
    """Have a machine that is saved go on as it ``was``, and see that; HostError where it does not.

    A machine that is on already is left on.
    """
    now = settled(uuid)
    if now == OFF:
        process.must("virsh", *_CONNECT, "start", uuid, timeout=_LONG)
        now = settled(uuid)
    if now == PAUSED and was == RUNNING:
        process.must("virsh", *_CONNECT, "resume", uuid, timeout=_QUESTION)
        now = settled(uuid)
    if now != was:
        raise HostError(f"it was started, but it is {now}, and was {was}")
