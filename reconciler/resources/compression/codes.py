"""What the codes of compression mean: a paragraph each, which ``vmtune explain`` prints."""

from __future__ import annotations

TEXT = """\
V801 The mount option compress-force compresses whatever a property says, but for nocow files.
Mount with compress=, or make the directory nocow.

V802 The kernel refuses a compression property on what is nocow, and nocow beside a property, with
EINVAL. nocow files are never compressed; `nocow: false` beside `compression` ends it for new files.

V803 A subvolume inside is not set along. A new one has the property that the subvolume around it
has at its top, whatever the directory has that it is made in; without one its new files go by the
mount option. Declare it as a path of its own if it holds images.

V804 The file or directory could not be opened for reading, so its property is not known.

V807 Data that is there already keeps the compression it was written with. Only under `compression:
none` can vmtune write it anew; to have it compressed, see btrfs-filesystem(8), defragment -c.

V808 A directory below is nocow, hands that on, and nocow files are never compressed. A directory
declared here need not end what was set one level down.
"""
