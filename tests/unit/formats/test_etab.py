"""The table of the NFS server, as exportfs(8) of nfs-utils 2.6 writes it."""

from __future__ import annotations

import pytest

from reconciler.linux.mount_holds import parse_exports

_OPTIONS = b"(rw,sync,wdelay,hide,nocrossmnt,secure,root_squash,sec=sys)"

TABLES = {
    b"": (),
    b"/srv/vm\t*" + _OPTIONS + b"\n": ("/srv/vm",),
    b"/srv/vm\ta" + _OPTIONS + b"\n/\tb(ro)\n\n/srv/vm\tb(ro)\n": ("/", "/srv/vm"),
    b"/srv/my\\040images\t192.168.0.0/24(rw)\n": ("/srv/my images",),
    b"# by hand\nno path\n/torn": ("/torn",),
}


@pytest.mark.parametrize(("table", "paths"), TABLES.items())
def test_its_paths(table: bytes, paths: tuple[str, ...]):
    assert parse_exports(table) == paths
