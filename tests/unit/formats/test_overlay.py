"""Which directories an overlay is made of, as the kernel shows its options."""

from __future__ import annotations

import pytest

from reconciler.formats import mountinfo


@pytest.mark.parametrize(
    ("shown", "layers"),
    [
        ("rw,lowerdir=/a,upperdir=/b,workdir=/c,uuid=on", [("/a",), ("/b",), ("/c",)]),
        ("ro,lowerdir=/a:/b::/data", [("/a",), ("/b",), ("/data",)]),
        (r"rw,lowerdir=a\134:b:x,upperdir=up", [("a:b",), ("x",), ("up",)]),
        (
            r"rw,lowerdir+=/c\054d,lowerdir+=/e\134f,datadir+=/g:h",
            [("/c,d",), ("/e\\f",), ("/g:h",)],
        ),
        (r"rw,lowerdir=/a,upperdir=/b\134\054c\040d", [("/a",), ("/b\\,c d", "/b,c d")]),
        (r"rw,lowerdir=/a\134\134b", [("/a\\b",)]),
        ("rw,redirect_dir=on", []),
    ],
)
def test_each_form_is_read(shown: str, layers: list[tuple[str, ...]]):
    assert list(mountinfo.overlay_layers(shown)) == layers
