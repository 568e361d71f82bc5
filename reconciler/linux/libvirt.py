"""Machines of libvirt (virsh(1)): which are on, and may be saved; save and start one.

Only a libvirt that runs is asked: to connect would start one, and with it the machines that start
by themselves. A machine that cannot be judged counts as one that must not be saved. A user's own
libvirt (qemu:///session) is asked as that user.
"""

from __future__ import annotations

import os
import pwd
import re
import stat
import time
from contextlib import nullcontext, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler.errors import HostError
from reconciler.facts.images import OFF, PAUSED, RUNNING, SAVES, Machine
from reconciler.formats import libvirtxml
from reconciler.linux import files, inode, process, viewers
from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager

    from reconciler.formats.libvirtxml import LiveDomain


_DAEMONS = frozenset({"libvirtd", "virtqemud"})

_QUESTION = 20.0
"""Seconds for what virsh only asks."""

_LONG = 6 * 3600.0
"""Seconds for saving and starting: a machine may have much memory, and the disk be slow."""

SAVING, HELD = f"{PAUSED} (saving)", f"{PAUSED} (migrating)"
"""Of a machine that is just now being saved; of one that was started paused and has not gone on.
One that a person pauses is "paused (user)"."""

_END = "== end of an answer =="
"""Without a dash in front: virsh 11 takes that for an option of its ``echo``."""


class Libvirt(Value):
    """One libvirt: where it keeps what; ``user`` None is the system's."""

    user: process.User | None
    address: str
    pids: str
    saves: str
    settings: str

    @property
    def owner(self) -> str:
        return self.user.name if self.user else ""

    @property
    def uid(self) -> int:
        return self.user.uid if self.user else 0

    def may_be_asked(self) -> bool:
        """Tell whether this process may ask it."""
        return not self.user or os.geteuid() in {0, self.uid}

    def is_running(self) -> bool:
        """Tell whether it runs, and virsh is there to ask it."""
        return bool(process.find("virsh")) and self.uid in process.owners(_DAEMONS)

    def _must_run(self) -> None:
        if self.user and self.uid not in process.owners(_DAEMONS):
            raise HostError(f"the libvirt of {self.owner} does not run")

    def _virsh(self, *words: str, timeout: float = _QUESTION) -> str:
        """Run virsh; HostError with its complaint, or where that would start a user's libvirt."""
        self._must_run()
        words = ("-q", "-c", self.address, *words)
        return process.must("virsh", *words, timeout=timeout, who=self.user)

    def asked(self, *words: str) -> str:
        """Read-only (-r): virsh may not change anything, and needs no password; HostError."""
        return self._virsh("-r", *words)

    def asked_each(self, *commands: str) -> list[str]:
        """Return the answer to each command of virsh: one process, as each takes a while to start.

        HostError where it complains of any of them.
        """
        if not commands:
            return []
        script = f"; echo '{_END}'; ".join(commands) + f"; echo '{_END}'"
        self._must_run()
        words = ("-q", "-r", "-c", self.address, script)
        done = process.run("virsh", *words, timeout=_QUESTION, who=self.user)
        answers = done.stdout.split(_END)
        if done.returncode or done.stderr.strip() or len(answers) != len(commands) + 1:
            raise HostError(f"virsh: {done.stderr.strip() or 'it gave no answer'}")
        return answers[:-1]

    def state(self, uuid: str) -> str:
        """Return RUNNING, PAUSED, OFF or another word of virsh domstate; HostError."""
        return self.asked("domstate", uuid).strip()

    def reason(self, uuid: str) -> str:
        """Return the state of a machine and why it is so, as SAVING; "" where that is not told."""
        with suppress(HostError):
            return self.asked("domstate", uuid, "--reason").strip()
        return ""

    def is_defined(self, uuid: str) -> bool:
        """Tell whether libvirt knows a machine; HostError where it does not answer."""
        return uuid in self.asked("list", "--all", "--uuid").split()

    def pid(self, name: str) -> int:
        """Return the process whose number libvirt keeps, if that is one of QEMU's, and the user's.

        0 for none. No libvirt needs to answer for that.
        """
        with suppress(OSError, ValueError):
            number = int(files.read(f"{self.pids}/{name}.pid") or b"")
            comm = files.read(f"/proc/{number}/comm") or b""
            is_its = not self.user or os.stat(f"/proc/{number}").st_uid == self.uid
            return number if is_its and (b"qemu" in comm or b"kvm" in comm) else 0
        return 0

    def save_path(self, name: str) -> str:
        """Return where libvirt keeps the memory of a machine that is saved."""
        return f"{self.saves}/{name}.save"

    def save_of(self, name: str) -> str:
        """Tell which file holds the memory of a machine (inode, time, size); "" where none does.

        One that was cut off is none: libvirt starts the machine without it.
        """
        return self._save_that(b"LibvirtQemudSave", name)

    def _save_that(self, begins: bytes, name: str) -> str:
        """Tell of a file as ``save_of`` does; one that was cut off begins with LibvirtQemudPart.

        From qemu_saveimage.h.
        """
        with suppress(OSError), inode.opened(self.save_path(name)) as fd:
            status = os.fstat(fd)
            if stat.S_ISREG(status.st_mode) and os.read(fd, len(begins)) == begins:
                return f"{status.st_ino} {status.st_mtime_ns} {status.st_size}"
        return ""

    def keeps_saves(self) -> bool:
        """Tell whether the folder for saves is there: else a missing save tells nothing."""
        return os.path.isdir(self.saves)

    def has_save(self, uuid: str) -> bool:
        """Tell whether libvirt says that a machine is saved; HostError."""
        return _info(self.asked("dominfo", uuid)).get("Managed save") == "yes"

    # --- what writes

    def kept(self) -> AbstractContextManager[None]:
        """Keep the libvirt of a user running meanwhile: it ends once it has no machine on.

        A libvirt that this run starts would end with it, if it is a service, and its machines too.
        """
        if self.user is None:
            return nullcontext()
        return process.kept("virsh", "-q", "-c", self.address, who=self.user)

    def wake(self) -> None:
        """Start the libvirt of a user where it does not run, apart from this run; HostError."""
        if self.user is None or self.is_running():
            return
        if not os.path.isdir(self.user.runtime):
            raise HostError(f"{self.owner} is not logged in, so their libvirt cannot be started")
        names = (f"--setenv={name}={value}" for name, value in self.user.environment.items())
        apart = (f"--uid={self.owner}", "--property=KillMode=process", *names)
        command = (process.find("virsh"), "-q", "-c", self.address, "uri")
        words = ("--quiet", "--collect", "--wait", *apart, *command)
        process.must("systemd-run", *words, timeout=_QUESTION)
        self._must_run()

    def save(self, uuid: str, name: str, was: str) -> str:
        """Save a machine, see that it is off and its memory on disk; return which file (save_of).

        It will be as it ``was`` (RUNNING or PAUSED) once it is started. HostError: what libvirt
        said; the machine may be in any state then.
        """
        flag = "--paused" if was == PAUSED else "--running"
        self._virsh("managedsave", uuid, flag, timeout=_LONG)
        now, found = self.state(uuid), self.save_of(name)
        if now != OFF or not found or not self.has_save(uuid) or self.pid(name):
            raise HostError(
                f"libvirt said that it was saved, but it is {now}, and its save is not whole"
            )
        # Its images are rewritten next: a power cut must lose neither.
        files.sync_filesystem(self.saves)
        return found

    def _end_save(self, uuid: str, name: str) -> None:
        """See that a machine that is on has no save, and have that on the disk; HostError.

        libvirt removes the save that it starts a machine from, and only warns where it cannot. It
        keeps one that was cut off, because it was ended in the middle, and does not say that it is
        no use. A whole one is not removed here: a person may have saved the machine a moment ago.
        """
        is_empty = self._save_that(b"", name).endswith(" 0")
        if self.pid(name) and (is_empty or self._save_that(b"LibvirtQemudPart", name)):
            with suppress(HostError):  # libvirt starts no machine from it
                self._virsh("managedsave-remove", uuid)
        if self.save_of(name):
            raise HostError(
                f"it is on, but libvirt left its save in place ({self.save_path(name)}), and a "
                "later start from that would mix its memory of then with disks of now",
                f"`virsh managedsave-remove {uuid}` removes it, `virsh resume {uuid}` has it go on",
            )
        if self.keeps_saves():
            files.sync_filesystem(self.saves)

    def settled(self, uuid: str) -> str:
        """Wait until nobody is at work on a machine, and return its state; HostError."""
        # A daemon that was killed is started again meanwhile, and ends what was under way.
        end = time.monotonic() + 120.0
        while True:
            try:
                now = self.state(uuid)
                if now == OFF or not _is_job(self.asked("domjobinfo", uuid)):
                    return now
            except HostError:
                if time.monotonic() > end:
                    raise
            if time.monotonic() > end + _LONG:
                raise HostError("libvirt does not come to an end with it")
            time.sleep(0.2)

    def start(self, uuid: str, name: str, was: str) -> None:
        """Have a machine that is saved go on as it ``was``, and see that; HostError else.

        A machine that is on already is left on. No machine writes before the end of its save is on
        the disk: libvirt removes the save without a sync, and a power cut would bring it back. Its
        memory of then would be started on disks of later.
        """
        now = self.settled(uuid)
        if now == OFF:
            self._virsh("start", uuid, "--paused", timeout=_LONG)
            now = self.settled(uuid)
        if now in {PAUSED, RUNNING}:
            self._end_save(uuid, name)
        if now == PAUSED and was == RUNNING:
            self._virsh("resume", uuid)
            now = self.settled(uuid)
        if now != was:
            raise HostError(f"it was started, but it is {now}, and was {was}")


_SYSTEM = Libvirt(None, "qemu:///system", "/run/libvirt/qemu", SAVES, "/etc/libvirt")


def of(owner: str) -> Libvirt:
    """Return the libvirt of a user (qemu_conf.c: virQEMUDriverConfigNew), the system's for "".

    HostError where there is no such user.
    """
    if not owner:
        return _SYSTEM
    user = process.user(owner)
    own, pids = f"{user.home}/.config/libvirt", f"{user.runtime}/libvirt/qemu/run"
    return Libvirt(user, "qemu:///session", pids, f"{own}/qemu/save", own)


def _is_job(text: str) -> bool:
    """Tell from the words of virsh domjobinfo whether a machine is being saved, or the like."""
    return text.split()[:3] != ["Job", "type:", "None"]


def machines() -> tuple[Machine, ...]:
    """Return every machine that is on; none where no libvirt runs; HostError where it is mute."""
    found = list(_machines_of(_SYSTEM)) if _SYSTEM.is_running() else []
    for owner in _users():
        with suppress(HostError):  # then its machines are not known, as those of no libvirt
            found += _machines_of(of(owner))
    # Whoever gives a machine the UUID of another one's is not asked about it.
    return tuple({each.uuid: each for each in reversed(found)}.values())


def _users() -> list[str]:
    """Return the users whose own libvirt runs, and may be asked: any by root, else one's own."""
    if not process.find("virsh"):
        return []
    names = []
    for uid in process.owners(_DAEMONS) - {0}:
        with suppress(KeyError):
            if os.geteuid() in {0, uid}:
                names.append(pwd.getpwuid(uid).pw_name)
    return sorted(names)


def _machines_of(side: Libvirt) -> Iterator[Machine]:
    try:
        every, on, nets = side.asked_each("list --all --uuid", "list --uuid", "net-list --name")
        uuids, networks = every.split(), frozenset(nets.split())
        texts = side.asked_each(*(f"dumpxml {uuid}" for uuid in uuids))
        found = zip(uuids, texts, strict=True)
        known = {uuid: _with_volumes(side, libvirtxml.parsed(text)) for uuid, text in found}
        return iter([_machine(side, uuid, known, networks) for uuid in on.split() if uuid in known])
    except ValueError as error:
        raise HostError(f"libvirt gave a definition that cannot be read: {error}") from None


def machine(uuid: str) -> Machine:
    """Return one machine, judged anew; HostError where it is not on, or cannot be asked about."""
    for each in machines():
        if each.uuid == uuid:
            return each
    raise HostError("it is not on any more", "apply again")


def _info(text: str) -> dict[str, str]:
    rows = (line.partition(":") for line in text.splitlines())
    return {name.strip(): value.strip() for name, _, value in rows}


def _machine(
    side: Libvirt, uuid: str, known: Mapping[str, LiveDomain], networks: frozenset[str]
) -> Machine:
    its = known[uuid]
    # Beside the memory a save needs room for devices, the definition, tables.
    memory = its.memory + its.memory // 64 + (64 << 20)
    problem = next(_problems(side, uuid, known, networks), "")
    now, number = side.state(uuid), side.pid(its.name)
    paths = tuple(map(os.path.realpath, its.files))
    free = 0
    with suppress(OSError):
        space = os.statvfs(side.saves)
        free = space.f_bavail * space.f_frsize
    return Machine(
        uuid, its.name, now, number, memory, free, paths, problem, side.saves, side.owner
    )


def _with_volumes(side: Libvirt, its: LiveDomain) -> LiveDomain:
    """Return what a definition says, with the files of the disks that are named by their volume."""
    paths, problems = [], []
    for pool, volume in its.volumes:
        try:
            path = side.asked("vol-path", "--pool", pool, "--vol", volume).strip()
        except HostError:
            problems.append(f"its volume {volume} is not found in the pool {pool}")
        else:
            paths.append(path)
    files_ = dict.fromkeys((*its.files, *paths))
    return replace(its, files=tuple(files_), problems=(*its.problems, *problems))


def _problems(
    side: Libvirt, uuid: str, known: Mapping[str, LiveDomain], networks: frozenset[str]
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
    if manager := _lock_manager(f"{side.settings}/qemu.conf"):
        yield f"libvirt's lock manager {manager} is not known to allow it"
    folder = f"{side.settings}/qemu"
    if side.user and not os.path.isfile(f"{folder}/{its.name}.xml"):
        yield f"its definition is not in {folder}, so its memory would go elsewhere, too"


def _of_now(side: Libvirt, uuid: str, its: LiveDomain) -> Iterator[str]:
    """Yield what there is against it at this moment."""
    text, now, job, snapshots, checkpoints = side.asked_each(
        f"dominfo {uuid}",
        f"domstate {uuid} --reason",
        f"domjobinfo {uuid}",
        f"snapshot-list {uuid} --internal --name",
        f"checkpoint-list {uuid} --name",
    )
    info, number = _info(text), side.pid(its.name)
    if info.get("Persistent") != "yes":
        yield "it is transient: libvirt forgets it once it is off"
    if info.get("Managed save") != "no" or os.path.lexists(side.save_path(its.name)):
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


def _of_its_process(number: int, its: LiveDomain) -> Iterator[str]:
    if not number:
        yield "its process is not found"
    elif lost := sorted({file for file in its.files if not has_open(number, file)}):
        yield f"{lost[0]} is not the file that it has open"
    elif not _has_program(number):
        yield "QEMU was updated since it was started, and the new one may not know its memory"
    elif its.viewers and (viewer := viewers.problem(number, its.viewers)):
        yield viewer


_STEADY = re.compile(rf"{RUNNING} \(.*\)|{PAUSED} \((user|unknown|from snapshot)\)")
"""How a machine is that does what it should: not one that an error on its disk has paused."""


def has_open(number: int, path: str) -> bool:
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


def _of_its_disks(side: Libvirt, uuid: str, known: Mapping[str, LiveDomain]) -> Iterator[str]:
    its = known[uuid]
    if strange := [disk for disk in its.disks if not re.fullmatch("[A-Za-z0-9]+", disk)]:
        yield f"its disk {strange[0]!r} has a name that is not known here"
        return
    jobs = side.asked_each(*(f"blockjob {uuid} {disk} --info" for disk in its.disks))
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
