"""What the codes of compression mean: a paragraph each, which ``vmtune explain`` prints."""

from __future__ import annotations

TEXT = """\
V801 The mount option compress-force compresses whatever a property says, but for nocow files.
Mount with compress=, or make the directory nocow.

V802 The kernel refuses (EINVAL) a compression property on what is nocow, and nocow on what has a
compression property. Nocow files are never compressed. `nocow: false` beside `compression` ends
nocow for new files.

V803 The property is not set for a subvolume inside. A new subvolume gets the property that the
subvolume around it has at its top, not the one of the directory that it is made in. Without a
property its new files go by the mount option. Declare it as a path of its own if it holds images.

V804 The file or directory could not be opened for reading, so vmtune does not know its property.

V807 Data that is there already keeps the compression it was written with. vmtune can write it anew
only for `compression: none`. To compress data that is there, run `btrfs filesystem defragment -c`
(btrfs-filesystem(8)).

V808 A directory below the declared one is nocow. What is made in it is nocow too, and nocow files
are never compressed. The entry leaves that directory as it is, because somebody may have set nocow
there on purpose. `chattr -C` on that directory ends nocow for new files.
"""
