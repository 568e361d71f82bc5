"""What the codes of nocow mean: a paragraph each, which ``vmtune explain`` prints."""

from __future__ import annotations

TEXT = """\
V102 The filesystem keeps two or more copies of data (DUP, RAID1, RAID10, RAID5, RAID6). Nocow
files have no checksums: when the copies differ, nothing can tell the good one, reads return
either, and scrub repairs nothing. `allow: [raid]` in the entry accepts that.

V103 The subvolume is snapshotted. While a snapshot shares a block, the first write to it is
copied to a new place all the same, so the images fragment as if they were copy-on-write, and
have no checksums either. A subvolume of their own, left out of snapshots, avoids it; `allow:
[snapshots]` accepts it.

V105 Nocow ends checksums for all that is written below the path. For a whole home or a system
directory that is refused: declare the directory that holds the images.

V106 A subvolume inside a nocow directory inherits nothing: its new files are copy-on-write.
Declare it as a path of its own if it holds images.

V107 The file or directory could not be opened for reading, so whether it is nocow is not known.
Root sees it; a file on which someone holds a lease nobody does.

V108 The path lies below a mount point of /etc/fstab where nothing is mounted now. What is made
there would be on the filesystem below, and hidden once the mount is back.

V109 A symbolic link on the way belongs to a user who owns neither the link's target nor root's
trust: following it would let that user choose what root changes.

V111 A device of the filesystem is missing, or the filesystem is mounted with the option `degraded`.
Nocow data has no checksums. What is written to it now reaches only the devices that are there; when
the other device is back, its old copy is read as often as the new one, and scrub cannot tell which
is right. So nothing is made nocow there and no image is rewritten, moved or defragmented, and no
`allow` changes that. Copy-on-write data has checksums, and heals. To end this state: put the device
back or replace it (btrfs-replace(8)), mount without `degraded`, run `btrfs scrub start`; where data
was written meanwhile as `single`, `btrfs balance start -dconvert=raid1,soft` gives it its second
copy. The option `degraded` in /etc/fstab counts as this state too: with it, a device may be away,
and come back, without a word.

V112 A device of the filesystem is being replaced, or that was interrupted. Until the new device
holds all data, there are two states of it, and nocow data has no checksums that tell them apart.
`btrfs replace status` shows how far it is.

V113 The kernel met an error in the filesystem and made it read-only, to save what is there. It
stays so until it is unmounted and mounted again. `dmesg` names the error: a disk that fails, a
damaged block, or no room for metadata. `btrfs scrub start` and `btrfs check --readonly` say more.

V114 An empty stub is what a snapshot shows in the place of a subvolume inside: a snapshot holds
none of these. Who rolls back puts a snapshot in the place of a subvolume; the subvolumes inside
stay in the old one. In a stub nothing can be made and no machine starts. Do not remove the old
subvolume (often @_bad, or in .snapshots): all that is missing here is in it. Mount that subvolume
at the path with a line in /etc/fstab, or remove the stub and move the subvolume back.

V115 The kernel counts errors of each device and keeps the numbers over a reboot (btrfs-device(8),
stats). They may be old. A device that returns wrong data is noticed by checksums alone, which nocow
data does not have.

V116 Where quotas are on (btrfs-quota(8)), each subvolume has a qgroup, which may belong to others,
and each of them may have a limit on what may be written. Which qgroup belongs to which is in the
quota tree, which root alone can read. Where /sys/fs/btrfs is missing, as in a container, root alone
can see whether quotas are on. While its figures are inconsistent, a limit may strike earlier or
later than they say.

V117 A zoned Btrfs (on host-managed SMR disks and ZNS drives) writes in the order of its zones, so
no block is written in place, and the kernel refuses the nocow attribute (EPERM). Images there are
copy-on-write. Declare `subvolume: true` or `compression: none` for them, or put them on another
filesystem.

V118 The declared directory is not there, and one beside it that is spelt nearly like it holds
files. `apply` makes the declared directory, new and empty, and images in the other directory stay
as they are. Where the path is misspelt, mend it in vmtune.yaml first.
"""
