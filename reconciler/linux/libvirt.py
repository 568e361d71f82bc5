"""Machines of libvirt (virsh(1)): which are on, and may be saved; save and start one.

Only a libvirt that runs is asked: to connect would start one, and with it the machines that start
by themselves. A machine that cannot be judged counts as one that must not be saved. ``owner`` is
the user whose own libvirt is meant (qemu:///session), which is asked as that user; "" is the
system's.
"""

from __future__ import annotations

import os
import pwd
import re
import stat
import time
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler.errors import HostError
from reconciler.facts.machines import OFF, PAUSED, RUNNING, SAVES, Machine
from reconciler.formats import domain
from reconciler.linux import files, process, viewers
from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from reconciler.formats.domain import Domain


class _Side(Value):
    """One libvirt: where it keeps what; ``user`` None is the system's."""

    user: process.User | None
    address: str
    pids: str
    saves: str
    config: str
    definitions: str

    @property
    def owner(self) -> str:
        return self.user.name if self.user else ""

    @property
    def uid(self) -> int:
        return self.user.uid if self.user else 0


_SYSTEM = _Side(
    None,
    "qemu:///system",
    "/run/libvirt/qemu",
    SAVES,
    "/etc/libvirt/qemu.conf",
    "/etc/libvirt/qemu",
)


def _side(owner: str) -> _Side:
    """Return the libvirt of a user (qemu_conf.c: virQEMUDriverConfigNew); HostError."""
    if not owner:
        return _SYSTEM
    user = process.user(owner)
    own = f"{user.home}/.config/libvirt"
    pids, saves = f"{user.runtime}/libvirt/qemu/run", f"{own}/qemu/save"
    return _Side(user, "qemu:///session", pids, saves, f"{own}/qemu.conf", f"{own}/qemu")


_DAEMONS = frozenset({"libvirtd", "virtqemud"})

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
_PART = b"LibvirtQemudPart"
"""How a file begins that libvirt has saved a machine in, and one that was cut off
(qemu_saveimage.h)."""


def machines() -> tuple[Machine, ...]:
    """Return every machine that is on; none where no libvirt runs; HostError where it is mute."""
    found = list(_machines_of(_SYSTEM)) if is_running() else []
    for owner in _users():
        with suppress(HostError):  # then its machines are not known, as those of no libvirt
            found += _machines_of(_side(owner))
    # Whoever gives a machine the UUID of another one's is not asked about it.
    return tuple({each.uuid: each for each in reversed(found)}.values())


def _users() -> list[str]:
    """Return the users whose own libvirt runs, and may be asked: any by root, else one's own."""
    if not process.find("virsh"):
        return []
    uids = process.owners(_DAEMONS) - {0}
    mine = os.geteuid()
    return sorted(name for uid in uids if mine in {0, uid} and (name := _name(uid)))


def _name(uid: int) -> str:
    with suppress(KeyError):
        return pwd.getpwuid(uid).pw_name
    return ""


def _machines_of(side: _Side) -> Iterator[Machine]:
    try:
        every, on, nets = _asked_each(side, "list --all --uuid", "list --uuid", "net-list --name")
        uuids, networks = every.split(), frozenset(nets.split())
        texts = _asked_each(side, *(f"dumpxml {uuid}" for uuid in uuids))
        found = zip(uuids, texts, strict=True)
        known = {uuid: _with_volumes(side, domain.parsed(text)) for uuid, text in found}
        return iter([_machine(side, uuid, known, networks) for uuid in on.split() if uuid in known])
    except ValueError as error:
        raise HostError(f"libvirt gave a definition that cannot be read: {error}") from None


def machine(uuid: str) -> Machine:
    """Return one machine, judged anew; HostError where it is not on, or cannot be asked about."""
    for each in machines():
        if each.uuid == uuid:
            return each
    raise HostError("it is not on any more", "apply again")


def may_ask(owner: str) -> bool:
    """Tell whether this process may ask the libvirt of a user."""
    return not owner or os.geteuid() in {0, _side(owner).uid}


def is_running(owner: str = "") -> bool:
    """Tell whether a libvirt runs, and virsh is there to ask it."""
    return bool(process.find("virsh")) and _side(owner).uid in process.owners(_DAEMONS)


def state(uuid: str, owner: str = "") -> str:
    """Return RUNNING, PAUSED, OFF or another word of virsh domstate; HostError."""
    return _asked(_side(owner), "domstate", uuid).strip()


def is_defined(uuid: str, owner: str = "") -> bool:
    """Tell whether libvirt knows a machine; HostError where it does not answer."""
    return uuid in _asked(_side(owner), "list", "--all", "--uuid").split()


def is_on(name: str, owner: str = "") -> bool:
    """Tell whether a machine has a process, also where no libvirt answers."""
    return bool(_pid(_side(owner), name))


def has_open(name: str, path: str, owner: str = "") -> bool:
    """Tell whether the process of a machine has the file open that a path leads to now."""
    number = _pid(_side(owner), name)
    return bool(number) and _has_open(number, path)


def is_busy(uuid: str, owner: str = "") -> bool:
    """Tell whether libvirt is at work on a machine: it is being saved, or the like; HostError."""
    return _is_job(_asked(_side(owner), "domjobinfo", uuid))


def _is_job(text: str) -> bool:
    return text.split()[:3] != ["Job", "type:", "None"]


def is_being_saved(uuid: str, owner: str = "") -> bool:
    """Tell whether a machine is just now being saved; False where libvirt does not say."""
    return _reason(uuid, owner) == f"{PAUSED} (saving)"


def is_held(uuid: str, owner: str = "") -> bool:
    """Tell whether a machine was started paused and has not gone on; False as above.

    A machine that a person pauses has another reason: "user".
    """
    return _reason(uuid, owner) == f"{PAUSED} (migrating)"


def _reason(uuid: str, owner: str) -> str:
    with suppress(HostError):
        return _asked(_side(owner), "domstate", uuid, "--reason").strip()
    return ""


def save_of(name: str, owner: str = "") -> str:
    """Tell which file holds the memory of a machine (inode, time, size); "" where none does.

    One that was cut off is none: libvirt starts the machine without it.
    """
    return _save_that(_WHOLE, name, owner)


def _save_that(begins: bytes, name: str, owner: str) -> str:
    with suppress(OSError), open(_save(_side(owner), name), "rb", opener=_quietly) as file:
        status = os.fstat(file.fileno())
        if stat.S_ISREG(status.st_mode) and file.read(len(begins)) == begins:
            return f"{status.st_ino} {status.st_mtime_ns} {status.st_size}"
    return ""


def keeps_saves(owner: str = "") -> bool:
    """Tell whether the folder for saves is there: else a save that is not seen tells nothing."""
    return os.path.isdir(_side(owner).saves)


def _quietly(path: str, flags: int) -> int:
    """Open what may be a user's: no link is followed, and a FIFO is not waited for."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)


def has_save(uuid: str, owner: str = "") -> bool:
    """Tell whether libvirt says that a machine is saved; HostError."""
    return _info(_asked(_side(owner), "dominfo", uuid)).get("Managed save") == "yes"


def _save(side: _Side, name: str) -> str:
    return f"{side.saves}/{name}.save"


def _virsh(side: _Side, *words: str, timeout: float = _QUESTION) -> str:
    """Run virsh; HostError with its complaint, or where that would start the libvirt of a user."""
    _must_run(side)
    words = ("-q", "-c", side.address, *words)
    return process.must("virsh", *words, timeout=timeout, who=side.user)


def _must_run(side: _Side) -> None:
    if side.user and side.uid not in process.owners(_DAEMONS):
        raise HostError(f"the libvirt of {side.owner} does not run")


def _asked(side: _Side, *words: str) -> str:
    """Read-only (-r): it may not change anything, and needs no password."""
    return _virsh(side, "-r", *words)


_END = "== end of an answer =="
"""Without a dash in front: virsh 11 takes that for an option of its ``echo``."""


def _asked_each(side: _Side, *commands: str) -> list[str]:
    """Return the answer to each command of virsh: one process, because each takes a while to start.

    HostError where it complains of any of them.
    """
    if not commands:
        return []
    script = f"; echo '{_END}'; ".join(commands) + f"; echo '{_END}'"
    _must_run(side)
    words = ("-q", "-r", "-c", side.address, script)
    done = process.run("virsh", *words, timeout=_QUESTION, who=side.user)
    answers = done.stdout.split(_END)
    if done.returncode or done.stderr.strip() or len(answers) != len(commands) + 1:
        raise HostError(f"virsh: {done.stderr.strip() or 'it gave no answer'}")
    return answers[:-1]


def _info(text: str) -> dict[str, str]:
    rows = (line.partition(":") for line in text.splitlines())
    return {name.strip(): value.strip() for name, _, value in rows}


def _machine(
    side: _Side, uuid: str, known: Mapping[str, Domain], networks: frozenset[str]
) -> Machine:
    its = known[uuid]
    memory = its.memory + its.memory // 64 + _MARGIN
    problem = next(_problems(side, uuid, known, networks), "")
    now, number = _asked(side, "domstate", uuid).strip(), _pid(side, its.name)
    paths = tuple(map(os.path.realpath, its.files))
    free = _free(side.saves)
    return Machine(
        uuid, its.name, now, number, memory, free, paths, problem, side.saves, side.owner
    )


def _with_volumes(side: _Side, its: Domain) -> Domain:
    """Return what a definition says, with the files of the disks that are named by their volume."""
    paths, problems = [], []
    for pool, volume in its.volumes:
        try:
            path = _asked(side, "vol-path", "--pool", pool, "--vol", volume).strip()
        except HostError:
            problems.append(f"its volume {volume} is not found in the pool {pool}")
        else:
            paths.append(path)
    files_ = dict.fromkeys((*its.files, *paths))
    return replace(its, files=tuple(files_), problems=(*its.problems, *problems))


def _pid(side: _Side, name: str) -> int:
    """Return the process whose number libvirt keeps, if that is one of QEMU's, and the user's."""
    with suppress(OSError, ValueError):
        number = int(files.read(f"{side.pids}/{name}.pid") or b"")
        comm = files.read(f"/proc/{number}/comm") or b""
        is_its = not side.user or os.stat(f"/proc/{number}").st_uid == side.uid
        return number if is_its and (b"qemu" in comm or b"kvm" in comm) else 0
    return 0


def _free(folder: str) -> int:
    with suppress(OSError):
        space = os.statvfs(folder)
        return space.f_bavail * space.f_frsize
    return 0


def _problems(
    side: _Side, uuid: str, known: Mapping[str, Domain], networks: frozenset[str]
) -> Iterator[str]:
    """Yield each reason why a machine must not be saved and started again."""
    its = known[uuid]
    if "/" in its.name:
        yield "its name has a slash"
        return
    yield from _of_now(side, uuid, its)
    yield from its.problems
    yield from _of_its_disks(side, uuid, known)
    if missing := sorted(set(its.networks) - networks):
        yield f"its network {missing[0]} is not active, so it would not start again"
    if manager := _lock_manager(side.config):
        yield f"libvirt's lock manager {manager} is not known to allow it"
    if side.user and not os.path.isfile(f"{side.definitions}/{its.name}.xml"):
        yield f"its definition is not in {side.definitions}, so its memory would go elsewhere, too"


def _of_now(side: _Side, uuid: str, its: Domain) -> Iterator[str]:
    """Yield what there is against it at this moment."""
    text, now, job, snapshots, checkpoints = _asked_each(
        side,
        f"dominfo {uuid}",
        f"domstate {uuid} --reason",
        f"domjobinfo {uuid}",
        f"snapshot-list {uuid} --internal --name",
        f"checkpoint-list {uuid} --name",
    )
    info, number = _info(text), _pid(side, its.name)
    if info.get("Persistent") != "yes":
        yield "it is transient: libvirt forgets it once it is off"
    if info.get("Managed save") != "no" or os.path.lexists(_save(side, its.name)):
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


def _of_its_disks(side: _Side, uuid: str, known: Mapping[str, Domain]) -> Iterator[str]:
    its = known[uuid]
    if strange := [disk for disk in its.disks if not re.fullmatch("[A-Za-z0-9]+", disk)]:
        yield f"its disk {strange[0]!r} has a name that is not known here"
        return
    jobs = _asked_each(side, *(f"blockjob {uuid} {disk} --info" for disk in its.disks))
    for disk, job in zip(its.disks, jobs, strict=True):
        if job.strip():
            yield f"a job of its disk {disk} runs"
    mine = set(map(os.path.realpath, its.files))
    for other, domain_ in known.items():
        if other != uuid and (both := mine.intersection(map(os.path.realpath, domain_.files))):
            yield f"the machine {domain_.name} has its disk {min(both)}, too"


def _lock_manager(config: str) -> str:
    """Return what qemu.conf says of a lock manager; "" for none."""
    try:
        text = os.fsdecode(files.read(config) or b"")
    except OSError as error:
        return f"in {config} ({error.strerror})"
    found = re.findall(r'^\s*lock_manager\s*=\s*"?([^"\n]*)', text, re.MULTILINE)
    return next((each.strip() for each in found if each.strip() not in {"", "nop"}), "")


# --- what writes


@contextmanager
def kept(owner: str) -> Iterator[None]:
    """Keep the libvirt of a user running meanwhile: it ends by itself once it has no machine on.

    A libvirt that this run starts would end with it, if it is a service, and its machines too.
    """
    side = _side(owner)
    if side.user is None:
        yield
        return
    with process.kept("virsh", "-q", "-c", side.address, who=side.user):
        yield


def wake(owner: str) -> None:
    """Start the libvirt of a user where it does not run, apart from this run; HostError."""
    side = _side(owner)
    if side.user is None or is_running(owner):
        return
    if not os.path.isdir(side.user.runtime):
        raise HostError(f"{owner} is not logged in, so their libvirt cannot be started")
    names = (f"--setenv={name}={value}" for name, value in side.user.environment.items())
    apart = ("--quiet", "--collect", "--wait", f"--uid={owner}", "--property=KillMode=process")
    command = (process.find("virsh"), "-q", "-c", side.address, "uri")
    process.must("systemd-run", *apart, *names, *command, timeout=_QUESTION)
    _must_run(side)


def save(uuid: str, name: str, was: str, owner: str = "") -> str:
    """Save a machine, see that it is off and its memory on disk; return which file (save_of).

    It will be as it ``was`` (RUNNING or PAUSED) once it is started. HostError: what libvirt said;
    the machine may be in any state then.
    """
    side = _side(owner)
    flag = "--paused" if was == PAUSED else "--running"
    _virsh(side, "managedsave", uuid, flag, timeout=_LONG)
    now, found = state(uuid, owner), save_of(name, owner)
    if now != OFF or not found or not has_save(uuid, owner) or _pid(side, name):
        raise HostError(
            f"libvirt said that it was saved, but it is {now}, and its save is not whole"
        )
    # Its images are rewritten next: a power cut must lose neither.
    files.sync_filesystem(side.saves)
    return found


def _end_save(uuid: str, name: str, owner: str) -> None:
    """See that a machine that is on has no save, and have that on the disk; HostError.

    libvirt removes the save that it starts a machine from, and only warns where it cannot. It keeps
    one that was cut off, because it was ended in the middle, and does not say that it is no use.
    A whole one is not removed here: a person may have saved the machine a moment ago.
    """
    is_empty = _save_that(b"", name, owner).endswith(" 0")
    if is_on(name, owner) and (is_empty or _save_that(_PART, name, owner)):
        with suppress(HostError):  # libvirt starts no machine from it
            _virsh(_side(owner), "managedsave-remove", uuid)
    if save_of(name, owner):
        raise HostError(
            f"it is on, but libvirt left its save in place ({_save(_side(owner), name)}), and a "
            "later start from that would mix its memory of then with disks of now",
            f"`virsh managedsave-remove {uuid}` removes it, `virsh resume {uuid}` has it go on",
        )
    if keeps_saves(owner):
        files.sync_filesystem(_side(owner).saves)


def settled(uuid: str, owner: str = "") -> str:
    """Wait until nobody is at work on a machine, and return its state; HostError."""
    end = time.monotonic() + _SETTLES
    while True:
        try:
            now = state(uuid, owner)
            if now == OFF or not is_busy(uuid, owner):
                return now
        except HostError:
            if time.monotonic() > end:
                raise
        if time.monotonic() > end + _LONG:
            raise HostError("libvirt does not come to an end with it")
        time.sleep(0.2)


def start(uuid: str, name: str, was: str, owner: str = "") -> None:
    """Have a machine that is saved go on as it ``was``, and see that; HostError where it does not.

    A machine that is on already is left on. No machine writes before the end of its save is on the
    disk: libvirt removes the save without a sync, and a power cut would bring it back. Its memory
    of then would be started on disks of later.
    """
    now = settled(uuid, owner)
    if now == OFF:
        _virsh(_side(owner), "start", uuid, "--paused", timeout=_LONG)
        now = settled(uuid, owner)
    if now in {PAUSED, RUNNING}:
        _end_save(uuid, name, owner)
    if now == PAUSED and was == RUNNING:
        _virsh(_side(owner), "resume", uuid)
        now = settled(uuid, owner)
    if now != was:
        raise HostError(f"it was started, but it is {now}, and was {was}")
