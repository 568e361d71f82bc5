"""The header of a QED image: its backing file.

Source: docs/interop/qed_spec.rst of QEMU. All numbers are little-endian.
"""

from __future__ import annotations

import struct

from reconciler.formats import qcow2
from reconciler.formats.blockname import LONGEST, files

MAGIC = b"QED\0"
_FEATURES_AT, _NAME_AT = 16, 56
_BACKING_FILE = 1


def names(head: bytes) -> tuple[tuple[str, str], ...]:
    """What each file is that the image names, and as what: its backing file.

    ValueError where the header is cut off or damaged.
    """
    try:
        (features,) = struct.unpack_from("<Q", head, _FEATURES_AT)
        offset, size = struct.unpack_from("<2I", head, _NAME_AT)
    except struct.error:
        raise ValueError("the header is cut off") from None
    if not head.startswith(MAGIC):
        raise ValueError("no QED image")
    if not features & _BACKING_FILE:  # what the other two say then means nothing
        return ()
    name = qcow2.text(head, offset, size, LONGEST)
    return tuple(("backing file", file) for file in files(name))
