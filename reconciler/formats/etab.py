r"""What the NFS server exports: /var/lib/nfs/etab (exportfs(8)), "/srv/vm\t*(rw,sync)"."""

from __future__ import annotations

from reconciler.formats.fstab import unescape


def parse(data: bytes) -> tuple[str, ...]:
    """The directories, each once and sorted; a blank in one is escaped as in fstab."""
    fields = (line.split(None, 1)[0] for line in data.splitlines() if line.strip())
    return tuple(sorted({unescape(field) for field in fields if field.startswith(b"/")}))
