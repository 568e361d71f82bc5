"""What the codes of facts/ mean: a paragraph each, which ``vmtune explain`` prints."""

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

V118 The declared directory is not there. A directory beside it has nearly the same name, and holds
files. `apply` makes the declared directory, new and empty, and images in the other directory stay
as they are. If the path is misspelt, correct it in vmtune.yaml first.

V201 There is no line for the mount point in /etc/fstab. vmtune changes a line that is there and
does not invent one. The plan names the mount that the path is on, or the line that leads there by
another name. Where no line mounts / at all, the initramfs does, with rootflags= of the kernel's
command line, and its options are written there.

V202 The mount point has several lines in /etc/fstab. systemd and `mount TARGET` take the first.
`mount -a` tries each: another filesystem is mounted over the first one. So is the same filesystem
by util-linux 2.39 and later; an earlier `mount -a` is refused there a second time. Take out all
lines but one.

V203 mount(8) and systemd read the line in two different ways, or the line does not say what it
seems to say. Correct the line first.

V204 A mount unit or a drop-in of one takes the place of the line's options: systemd never reads
those in /etc/fstab. A mount unit may also mount what no line names. Options are set in that file.
The lines of / and /usr always count: systemd-remount-fs.service(8) reads them itself.

V207 A Btrfs filesystem has one compression setting for all its mounts, and the first mount decides.
At boot the initramfs mounts / first, with rootflags= of the kernel's command line. Then
systemd-remount-fs.service(8) applies the options of the line of / to that mount, but not where / is
an overlay that shows an image. If / stays read-only, the first line that is mounted writable
decides instead: it sets its own algorithm, or ends compression where it names none. What is
declared for any other line is in effect only until the next boot. So is what is declared for a line
that is not mounted at boot (noauto, x-systemd.automount), for a mount unit, and for a subvolume in
whose place another one is mounted. The plan works out the order of mounts. It says who decides, and
where the option must be written.

V208 What is mounted at the mount point is not what its line in /etc/fstab names: another
filesystem, or another subvolume (subvol= in /proc/self/mountinfo). A change of the line and a
change of the mount would be changes of two different things. A system that was booted from a
snapshot (grub-btrfs, snapper, Timeshift) is one case: its changes are left behind by the next
ordinary boot. A directory of the subvolume that the line names (an ostree deployment,
X-mount.subdir=) is no difference.

V209 The line shows a directory a second time (bind). Options of the filesystem belong on the
filesystem's own line.

V210 /etc/fstab cannot be replaced here, so the live mount is not touched either: the next boot
would undo it. NixOS makes the file from its configuration: there options are written as
fileSystems."/".options, and the plan shows the line.

V230 The system was booted from a snapshot in place of its own subvolume (grub-btrfs, snapper,
Timeshift). A directory that is made nocow in it is so in the snapshot alone. The next ordinary boot
mounts the system's own subvolume, where nothing of it is to be seen.

V231 / is an overlay that shows an image (composefs, as on Fedora Atomic desktops and with bootc).
The Btrfs that holds the image is mounted first, by the initramfs at /sysroot, with rootflags= of
the kernel's command line. Its options are written there: `rpm-ostree kargs` changes it. The line of
/ in /etc/fstab is applied to the overlay, if at all. A `mounts` entry for another mount point of
that filesystem (/var, /home) changes the live filesystem until the next boot.

V720 Another process has a write lease on the file (fcntl(2), F_SETLEASE): a run of vmtune that
exchanges it for its rewritten copy, or a file server. To open the file breaks the lease, so vmtune
does not open it. vmtune tries again for a second; after that the row says who has the file. Once
that process has finished, the next `vmtune plan` sees the file.
"""
