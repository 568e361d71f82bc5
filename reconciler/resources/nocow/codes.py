"""What the codes of nocow mean: a paragraph each, which ``vmtune explain`` prints."""

from __future__ import annotations

TEXT = """\
V102 The filesystem keeps two or more copies of data (DUP, RAID1, RAID10, RAID5, RAID6). Nocow
files have no checksums: when the copies differ, nothing can tell the good one, reads return
either, and scrub repairs nothing. `allow: [raid]` in the entry accepts that.

V103 There are snapshots of the subvolume, or whether there are was not shown: the kernel shows that
to root, unless a policy (SELinux, a container) denies it to root as well. While a snapshot shares a
block, the first write to the block goes to a new place all the same. So the images fragment as if
they were copy-on-write, and they have no checksums either. A subvolume of their own, left out of
snapshots, avoids it; `allow: [snapshots]` accepts it.

V105 Nocow ends checksums for all that is written below the path. For a whole home or a system
directory that is refused: declare the directory that holds the images.

V106 A subvolume inside a nocow directory inherits nothing: unless it was made nocow itself, its new
files are copy-on-write. vmtune looks at none. Declare it as a path of its own if it holds images.

V107 The file or directory could not be opened for reading, so vmtune does not know whether it is
nocow. Root can see it, unless a policy (SELinux, a container) denies it to root as well. While
another process holds a lease on a file, nobody can see it.

V117 A zoned Btrfs (on host-managed SMR disks and ZNS drives) writes in the order of its zones, so
no block is written in place, and the kernel refuses the nocow attribute (EPERM). Images there are
copy-on-write. Declare `subvolume: true` or `compression: none` for them, or put them on another
filesystem.
"""
