"""Digests, against coreutils."""

from __future__ import annotations

import subprocess

import pytest

from reconciler.formats.digest import sha256


@pytest.mark.parametrize("data", [b"", b"vmtune", bytes(range(256)) * 9])
def test_as_sha256sum_has_it(data: bytes) -> None:
    said = subprocess.run(["sha256sum"], input=data, check=True, capture_output=True).stdout
    assert sha256(data) == said.split()[0].decode()
