"""/etc/fstab and live mount options, read; and what the kernel and findmnt(8) say of them."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from reconciler.errors import HostError
from reconciler.facts import fstab_line
from reconciler.facts.host import (
    FstabFault,
    FstabFaults,
    FstabLines,
    FstabObstacle,
    KernelTakes,
    Mounts,
    Verdict,
)
from reconciler.facts.host_view import NotVisible
from reconciler.formats import fstab, mountinfo, options
from reconciler.linux import files, inode, process, syscalls, users
from reconciler.resources.mount.places import FstabOptions, LiveOption

if TYPE_CHECKING:
    from reconciler.engine.place import Reads


PATH = "/etc/fstab"

_NONSENSE = "vmtune-asks-nonsense"


def lines() -> tuple[fstab.Line, ...]:
    """The entries as of now; none where there is no such file."""
    try:
        return fstab.parse(files.read(PATH) or b"")
    except PermissionError:
        raise NotVisible(f"{PATH} is not readable") from None


def options_of(place: FstabOptions, entries: tuple[fstab.Line, ...]) -> str | None:
    """The options of the one line for a mount point; None when there is not exactly one."""
    found = [line.options for line in entries if line.target == place.target]
    return found[0] if len(found) == 1 else None


def obstacle(mounted: tuple[mountinfo.Mount, ...]) -> str:
    """Why the file cannot be replaced by a new one of its name; "" when nothing is known to hinder.

    rename(2): EBUSY onto a mount point, EPERM in or onto what chattr(1) made
    immutable, EROFS; a hard link would go on holding the old lines.
    """
    path = os.path.realpath(PATH)
    named = PATH if path == PATH else f"{PATH} is {path}, which"
    folder = os.path.dirname(path)
    if path.startswith("/nix/store/"):
        return f"{named} {fstab_line.MADE_BY_NIXOS}"
    if mountinfo.at(mounted, path):
        return f"{named} is a mount point"
    if inode.is_read_only(folder):
        return f"{named} is on a read-only filesystem"
    if _is_fixed(path, 0) or _is_fixed(folder, os.O_DIRECTORY):
        return f"{named} is immutable or append-only, or its directory is"
    if os.path.exists(path) and os.stat(path).st_nlink > 1:
        return f"{named} has another name (a hard link), which would keep the old lines"
    return ""


def _is_fixed(path: str, extra: int) -> bool:
    """By chattr(1) +i or +a; no filesystem without such flags has them set."""
    with suppress(OSError), inode.opened(path, extra=extra) as fd:
        return bool(inode.flags(fd) & (inode.IMMUTABLE | inode.APPEND))
    return False


def faults() -> tuple[tuple[str, str], ...]:
    """Mount point and text of each error that findmnt(8) finds in the file as it is.

    HostError where findmnt did not come to an end: it is missing, it hangs, or a signal ended it.
    """
    found, target = [], ""
    for line in verified(files.read(PATH) or b"").splitlines():
        words = line.strip()
        if words.startswith("[E]"):
            found.append((target, words.removeprefix("[E]").strip()))
        elif words.startswith("findmnt:") and "parse error" in words:
            found.append(("", words.removeprefix("findmnt:").strip()))
        elif line[:1] == "/":
            target = words
    return tuple(found)


def verified(data: bytes) -> str:
    """All that findmnt has to say; 2.38 prints it on stdout, newer ones on stderr.

    HostError where it did not come to an end. It exits with 1 where it finds errors; util-linux
    2.41.5 is ended by a signal by a line that is no entry.
    """
    fd = os.memfd_create("fstab", 0)
    try:
        os.write(fd, data)
        path = f"/proc/{os.getpid()}/fd/{fd}"
        done = process.run("findmnt", "--verify", "--tab-file", path)
    finally:
        os.close(fd)
    if done.returncode < 0:
        raise HostError(
            f"findmnt --verify was ended by signal {-done.returncode} as it read {PATH}"
        )
    return (done.stdout + done.stderr).replace(path, PATH)


def live(place: LiveOption, mounted: tuple[mountinfo.Mount, ...]) -> str:
    """The option as mountinfo shows it, "" when it shows none."""
    mount = mountinfo.at(mounted, place.target)
    if mount is None:
        raise NotVisible(f"{place.target} is not mounted")
    return mountinfo.live(mount, options.option(place.name))


def kernel_takes(tokens: tuple[str, ...]) -> Verdict:
    """Each option in a context of its own that is never mounted; NotVisible without root.

    Kernels before 6.8 parse Btrfs options only when mounting: they take
    nonsense here, and so prove nothing.
    """
    release = ".".join(os.uname().release.split(".")[:2])
    try:
        if _complaint(_NONSENSE) is None:
            return Verdict(None, f"kernel {release} tells only when it mounts")
        complaints = [(token, _complaint(token)) for token in tokens]
    except OSError as error:
        if error.errno == errno.EPERM:
            raise users.not_visible("ask the kernel about mount options") from None
        return Verdict(None, f"kernel {release} cannot be asked ({error.strerror})")
    refused = [f"{token}: {complaint}" for token, complaint in complaints if complaint is not None]
    if refused:
        return Verdict(False, f"kernel {release} refuses {'; '.join(refused)}")
    return Verdict(True, f"kernel {release} accepts {','.join(tokens)}")


def _complaint(token: str) -> str | None:
    context = syscalls.new_context("btrfs")
    try:
        syscalls.set_option(context, token)
    except OSError as error:
        return error.strerror
    finally:
        os.close(context)
    return None


READS: Reads = {
    FstabFaults: lambda _, __: tuple(FstabFault(*each) for each in faults()),
    FstabLines: lambda _, __: lines(),
    FstabObstacle: lambda _, host: obstacle(host(Mounts())),
    FstabOptions: lambda q, host: options_of(q, host(FstabLines())),
    KernelTakes: lambda q, _: kernel_takes(q.options),
    LiveOption: lambda q, host: live(q, host(Mounts())),
}
