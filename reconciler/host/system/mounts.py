"""Live mount options, and what the running kernel thinks of new ones."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from reconciler.core.facts import Verdict
from reconciler.core.snapshot import Hidden
from reconciler.formats import mountinfo, tuning
from reconciler.host.kernel import mountapi
from reconciler.host.refused import Refused
from reconciler.host.system import filesystems

if TYPE_CHECKING:
    from reconciler.core.places import LiveOption

_NONSENSE = "vmtune-asks-nonsense"


def live(place: LiveOption, mounted: tuple[mountinfo.Mount, ...]) -> str:
    """The option as mountinfo shows it, "" when it shows none: never the words of fstab."""
    mount = mountinfo.at(mounted, place.target)
    if mount is None:
        raise Hidden(f"{place.target} is not mounted")
    option = tuning.option(place.name)
    shown = mount.options if option.per_mount else mount.super_options
    return mountinfo.option(shown, option.rivals) or ""


def put_live(place: LiveOption, have: str, want: str) -> None:
    """Change one option of the mounted filesystem; every other live flag stays."""
    option = tuning.option(place.name)
    asked = want or option.off
    if not asked:
        raise Refused(f"nothing takes {have} back while {place.target} is mounted")
    try:
        if place.name == "atime":  # one field of three values, and never unset
            mountapi.set_mount_flag(place.target, asked, on=True)
        elif option.per_mount:
            mountapi.set_mount_flag(place.target, want or have, on=bool(want))
        else:
            mountapi.reconfigure(place.target, asked)
    except OSError as error:
        raise Refused(
            f"the kernel refuses {asked} on {place.target}: {error.strerror}",
            "/etc/fstab was not touched",
        ) from error
    now = live(place, filesystems.mounts())
    if now != want:
        raise Refused(
            f"the kernel said yes to {asked}, but shows {now or 'no ' + place.name}",
            "/etc/fstab was not touched",
        )


def kernel_takes(tokens: tuple[str, ...]) -> Verdict:
    """Each option in a context of its own that is never mounted; Hidden without root.

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
            raise Hidden("only root may ask the kernel about mount options") from None
        return Verdict(None, f"kernel {release} cannot be asked ({error.strerror})")
    refused = [f"{token}: {complaint}" for token, complaint in complaints if complaint is not None]
    if refused:
        return Verdict(False, f"kernel {release} refuses {'; '.join(refused)}")
    return Verdict(True, f"kernel {release} accepts {','.join(tokens)}")


def _complaint(token: str) -> str | None:
    context = mountapi.new_context("btrfs")
    try:
        mountapi.set_option(context, token)
    except OSError as error:
        return error.strerror
    finally:
        os.close(context)
    return None
