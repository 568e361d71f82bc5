"""Zoned mode, as far as it shows on a kernel without zoned devices: the feature bits."""

import re

from reconciler.linux import btrfs, inode
from tests.btrfs.outside import run
from tests.btrfs.world import World


def test_the_features_that_the_kernel_tells_are_those_of_the_superblock(host: World):
    """Among them is the bit of zoned mode, in which the kernel refuses nocow (EPERM)."""
    image = host.image("data", mkfs=["--mixed"])
    shown = run("btrfs", "inspect-internal", "dump-super", image.device)
    (flags,) = re.findall(r"incompat_flags\s+(0x[0-9a-f]+)", shown)
    with inode.opened(str(image.path)) as fd:
        assert btrfs.incompat_features(fd) == int(flags, 16)
        assert not btrfs.is_zoned(fd)
