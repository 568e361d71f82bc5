"""Which directories the NFS server of this host exports."""

from __future__ import annotations

import os

from reconciler.formats import etab
from reconciler.host import files

_TABLE = "/var/lib/nfs/etab"


def exported() -> tuple[str, ...]:
    """Resolved; none where no NFS server is set up."""
    return tuple(os.path.realpath(path) for path in etab.parse(files.read(_TABLE) or b""))
