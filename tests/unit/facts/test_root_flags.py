"""rootflags= of the kernel's command line with another option in it."""

import pytest

from reconciler.facts import fstab_line


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("", "compress=no"),
        ("subvol=@,compress=zstd", "subvol=@,compress=no"),
        ("defaults", "compress=no"),
        ('subvol="a,b"', 'subvol="a,b",compress=no'),
        ('subvol="@', 'subvol="@,compress=no'),
        ("subvol=@\\", "subvol=@\\,compress=no"),
    ],
)
def test_an_option_is_put_in(flags, expected):
    assert fstab_line.flags_with(flags, ["compress=no"]) == expected
