"""/etc/fstab, of which one field of one line changes; live options, one at a time."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from reconciler.errors import HostError
from reconciler.facts.diagnostics import denied
from reconciler.facts.host_view import NotVisible
from reconciler.formats import datamode, fstab, mountinfo, options
from reconciler.linux import files, filesystems, syscalls
from reconciler.resources.mount.places import FstabOptions, LiveOption
from reconciler.resources.mount.reads import PATH, kernel_takes, live, verified

if TYPE_CHECKING:
    from reconciler.engine.place import Writes


BACKUP = f"{files.STATE}/fstab.before"


def put(place: FstabOptions, have: str | None, want: str | None) -> str:
    """Replace the options of that one line, after findmnt(8) found nothing new wrong with it.

    Return why findmnt(8) could not judge the file, "" where it did.
    """
    data = files.read(PATH) or b""
    found = [line for line in fstab.parse(data) if line.target == place.target]
    if len(found) != 1 or found[0].options != have or want is None:
        raise HostError(f"{PATH} changed: the line for {place.target} is not what it was")
    try:
        new = fstab.with_options(data, found[0].number, want)
    except ValueError as error:
        raise HostError(f"{PATH}:{found[0].number}: {error}") from None
    _try(place.target, have or "", want)
    unverified = _verify(data, new)
    os.makedirs(os.path.dirname(BACKUP), mode=0o755, exist_ok=True)
    files.replace(BACKUP, data, mode=0o600)
    files.replace(PATH, new, expected=data)  # findmnt took its time: an editor may have saved
    return unverified


def _try(target: str, have: str, want: str) -> None:
    """Have the running kernel judge each new option, on the live mount where it only tells there.

    A line that the kernel refuses boots to a read-only root, without a shell.
    """
    old = options.for_filesystem(have)
    new = tuple(token for token in options.for_filesystem(want) if token not in old)
    verdict = kernel_takes(new) if new else None
    if verdict and verdict.takes is False:
        raise HostError(verdict.text)
    mount = mountinfo.at(filesystems.mounts(), os.path.realpath(target))
    if verdict and verdict.takes is None and mount and mount.fstype == "btrfs":
        for token in new:
            try:
                try_live(mount.target, token)
            except OSError as error:
                raise HostError(_refused(token, error)) from error


def _verify(old: bytes, new: bytes) -> str:
    """Compare the errors of ``findmnt --verify`` before and after: old ones are not ours to judge.

    Return why it could not judge the new file, "" where it did. A findmnt that only the new file
    ends by a signal judges it, too: HostError.
    """
    try:
        after = _faults(new)
    except HostError as untold:
        if _is_judged(old):
            raise HostError(f"{untold.message}, and of the old one it did not") from None
        return untold.message
    before = _faults(old) if after else []
    if fresh := [fault for fault in after if fault not in before]:
        raise HostError(f"findmnt --verify finds fault with the new {PATH}: {'; '.join(fresh)}")
    return ""


def _is_judged(data: bytes) -> bool:
    try:
        verified(data)
    except HostError:
        return False
    return True


def _faults(data: bytes) -> list[str]:
    """Lines that findmnt marks [E]rror, but of a source that it cannot reach.

    No source is changed here; and where no udev names UUIDs, whether one is found depends on
    how old libblkid's cache is.
    """
    lines = (line.strip() for line in verified(data).splitlines())
    return [line for line in lines if line.startswith("[E]") and "unreachable" not in line]


UNTOUCHED = "/etc/fstab was not touched"


def put_live(place: LiveOption, have: str, want: str) -> None:
    """Change one option of the mounted filesystem; every other live option stays.

    All options are read again afterwards. One that changed without being asked for is
    put back, together with what was asked for, and HostError names it.
    """
    option = options.option(place.name)
    asked = want or option.off
    if not asked:
        raise HostError(f"nothing takes {have} back while {place.target} is mounted")
    before = _shown(place.target)
    if not option.per_mount:
        _spares_the_data_mode(place.target, before, asked)
    try:
        _change(place, have, want)
    except OSError as error:
        raise HostError(_refused(f"{asked} on {place.target}", error), UNTOUCHED) from error
    _hold_the_others(place.target, before, asked, option)
    now = live(place, filesystems.mounts())
    if now != want:
        raise HostError(
            f"the kernel said yes to {asked}, but shows {now or 'no ' + place.name}", UNTOUCHED
        )


def _refused(asked: str, error: OSError) -> str:
    """Say whether the option was refused, or the right to set any: only root is here."""
    is_denied = error.errno == errno.EPERM
    who = denied(f"set {asked}", as_root=True) if is_denied else f"the kernel refuses {asked}"
    return f"{who}: {error.strerror}"


def _change(place: LiveOption, have: str, want: str) -> None:
    option = options.option(place.name)
    if place.name == "atime":  # one field of three values, and never unset
        syscalls.set_mount_flag(place.target, want or option.off, on=True)
    elif option.per_mount:
        syscalls.set_mount_flag(place.target, want or have, on=bool(want))
    else:
        _reconfigure(place.target, want or option.off)


def try_live(target: str, token: str) -> None:
    """Give a mounted filesystem one more option, and hold all others as they are.

    OSError where the kernel refuses the option, HostError where it ends another one.
    """
    before = _shown(target)
    _spares_the_data_mode(target, before, token)
    _reconfigure(target, token)
    _hold_the_others(target, before, token, options.of_token(token))


def _reconfigure(target: str, token: str) -> None:
    """Change one option of a mounted filesystem; one that is read-only stays read-only."""
    kept = ("ro",) if "ro" in _shown(target) else ()
    syscalls.reconfigure(target, *kept, token)


def _shown(target: str) -> dict[str, str]:
    """The options of a mount and of its filesystem as the kernel shows them, by their names.

    A mount's own have a blank before their names: both lists may have "ro".
    """
    mount = mountinfo.at(filesystems.mounts(), target)
    if mount is None:
        raise NotVisible(f"{target} is not mounted")
    own = {f" {options.name(token)}": token for token in mount.options.split(",")}
    of_all = {options.name(token): token for token in mount.super_options.split(",")}
    return {**own, **of_all}


def _spares_the_data_mode(target: str, shown: dict[str, str], asked: str) -> None:
    """Refuse compression where it would end nodatacow or nodatasum for the whole filesystem."""
    lost = [name for name in ("nodatacow", "nodatasum") if name in shown]
    if lost and options.name(asked) in options.COMPRESS and datamode.is_on(asked):
        raise HostError(
            f"{target} is mounted {','.join(lost)}: {asked} would end that for the whole "
            "filesystem",
            UNTOUCHED,
        )


def _hold_the_others(
    target: str, before: dict[str, str], asked: str, option: options.Option
) -> None:
    """Put back what changed beside the option that was asked for, and raise HostError then."""
    mine = option.rivals | option.brings
    mine |= {f" {name}" for name in mine}
    changed = [name for name in _differing(before, _shown(target)) if name not in mine]
    if not changed:
        return
    for name in sorted({*changed, *mine} & {*before, *_shown(target)}, key=_compress_first):
        with suppress(OSError):
            _put_back(target, name, before.get(name, ""))
    now = _shown(target)
    told = ", ".join(_words(before.get(name, ""), name) for name in changed)
    left = _differing(before, now)
    end = f"could not all be put back: {', '.join(left)} still differs" if left else "was put back"
    raise HostError(
        f"{asked} on {target} changed other live options: {told}; that {end}", UNTOUCHED
    )


def _words(had: str, name: str) -> str:
    return f"{had} was lost or changed" if had else f"{name.strip()} came with it"


def _differing(before: dict[str, str], now: dict[str, str]) -> list[str]:
    return sorted(name for name in {*before, *now} if before.get(name) != now.get(name))


def _compress_first(name: str) -> tuple[bool, str]:
    """Compression goes first: while it is on, putting nodatacow back would end it, and so on."""
    return (name not in options.COMPRESS, name)


def _put_back(target: str, name: str, had: str) -> None:
    """One option as it was; "" where it was not shown."""
    if name.startswith(" "):
        flag = name.strip()
        if flag in syscalls.FLAGS:
            syscalls.set_mount_flag(target, flag, on=bool(had))
    elif had:
        _reconfigure(target, had)
    elif name not in {"ro", "rw"}:
        _reconfigure(target, _off_again(name))


def _off_again(name: str) -> str:
    """What ends an option that came with another one, and leaves all others as they are.

    ``Option.off`` of nodatacow is datasum, which ends nodatasum as well.
    """
    if name == "nodatacow":
        return "datacow"
    return options.off(name) or options.negated(name)


WRITES: Writes = {
    FstabOptions: lambda place, have, want, _: put(place, have, want),
    LiveOption: lambda place, have, want, _: put_live(place, have, want),
}


def folders() -> set[str]:
    """Name the folders in which a put that was killed leaves a file half-written."""
    return {os.path.dirname(os.path.realpath(PATH)), os.path.dirname(BACKUP)}
