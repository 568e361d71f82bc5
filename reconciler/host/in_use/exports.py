"""Which directories the NFS server of this host exports: what its clients have open is not seen.

An NFSv3 client opens nothing here. It keeps the number of the inode, and gets ESTALE once that
inode is gone.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from reconciler.formats import etab
from reconciler.host import files
from reconciler.host.in_use.mounted import LAYER, Held

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.host.in_use.mounted import Mounted

_TABLE = "/var/lib/nfs/etab"


def exported() -> tuple[str, ...]:
    """Resolved; none where no NFS server is set up."""
    return tuple(os.path.realpath(path) for path in etab.parse(files.read(_TABLE) or b""))


def held(found: Mounted) -> Iterator[Held]:
    """The exported directories, as what holds all that lies below them."""
    for path in exported():
        with suppress(OSError):  # it is not there: nobody is shown anything
            fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
            try:
                if spot := found.spot(fd):
                    yield Held(spot, LAYER, path)
            finally:
                os.close(fd)
