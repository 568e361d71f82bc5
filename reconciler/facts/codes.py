"""What the codes that several kinds speak mean: a paragraph each, for ``vmtune explain``."""

from __future__ import annotations

TEXT = """\
V108 The path lies below a mount point of /etc/fstab where nothing is mounted now. What is made
there would be on the filesystem below, and hidden once the mount is back.

V109 A symbolic link on the way belongs to a user, and what it leads to belongs to somebody else:
following it would let that user choose what root changes.

V111 A device of the filesystem is missing, or the filesystem is mounted with the option `degraded`.
Nocow data has no checksums. What is written to it now reaches only the devices that are there; when
the other device is back, its old copy is read as often as the new one, and scrub cannot tell which
is right. So nothing is made nocow there and no image is rewritten, moved or defragmented, and no
`allow` changes that. Copy-on-write data has checksums, and heals. To end this state: put the device
back or replace it (btrfs-replace(8)), mount without `degraded`, run `btrfs scrub start`; where data
was written meanwhile as `single`, `btrfs balance start -dconvert=raid1,soft` gives it its second
copy. The option `degraded` in /etc/fstab counts as this state too: with it the filesystem is
mounted although a device is missing.

V112 A device of the filesystem is being replaced, or that was interrupted. Until the new device
holds all data, there are two states of it, and nocow data has no checksums that tell them apart.
`btrfs replace status` shows how far it is.

V113 The kernel met an error in the filesystem and made it read-only, to save what is there. It
stays so until it is unmounted and mounted again. `dmesg` names the error: a disk that fails, a
damaged block, or no room for metadata. `btrfs scrub start` and `btrfs check --readonly` say more.

V114 A snapshot of a subvolume does not hold the subvolumes inside. In the place of each, it shows
an empty stub. A rollback puts such a snapshot in the place of the subvolume, and the subvolumes
inside stay in the old one. In a stub nothing can be made, and no machine starts. Do not remove the
old subvolume (often @_bad, or in .snapshots): all that is missing here is in it. Mount the old
inner subvolume at the path with a line in /etc/fstab, or remove the stub and move that subvolume
back.

V115 The kernel counts errors of each device and keeps the numbers over a reboot (btrfs-device(8),
stats). They may be old. A device that returns wrong data is noticed by checksums alone, which nocow
data does not have.

V116 Where quotas are on (btrfs-quota(8)), each subvolume has a qgroup. A qgroup can belong to other
qgroups, and each qgroup can have a limit on what may be written. Which qgroup belongs to which is
in the quota tree. Only root can read that tree, unless a policy (SELinux, a container) denies it to
root as well. Where /sys/fs/btrfs is missing, as in a container, only that tree tells whether quotas
are on. While the figures of quotas are inconsistent, a limit may strike earlier or later than the
figures say.

V720 Another process has a write lease on the file (fcntl(2), F_SETLEASE): a run of vmtune that
exchanges it for its rewritten copy, or a file server. To open the file breaks the lease, so vmtune
does not open it. vmtune tries again for a second; after that the row says who has the file. Once
that process has finished, the next `vmtune plan` sees the file.
"""
