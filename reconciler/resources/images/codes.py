"""What the codes of images mean: a paragraph each, which ``vmtune explain`` prints."""

from __future__ import annotations

TEXT = """\
V101 The file has data and is copy-on-write. The kernel takes the nocow attribute only on an
empty file: on one with data `chattr +C` exits with 0 and changes nothing. Its data has to be
written anew, into a new file that is nocow, while nothing has it open. `existing: rewrite` in the
entry, or `--allow rewrite-images` for once, does that; `existing: keep` accepts the file as it is.

V701 The file has compressed data although its directory now has compression `none`. A property
counts for what is written from then on. Data that is compressed stays compressed until it is
written anew: compress=no, reading and plain defragmentation do not change that. `existing: rewrite`
does that.

V702 Something has the image open: a virtual machine, a loop device, a program that reads it. vmtune
never begins to rewrite such a file, because what is written to the old file meanwhile would be
lost. Leases (fcntl(2), F_SETLEASE) decide that: the kernel says whether anybody has the image open.
Who has it open is named as far as that can be seen. Or a program opened the image for writing while
the image was rewritten: then that rewrite is cancelled, and the program has the file that it asked
for. Programs that come later and only read (a backup, lsattr, libvirt as it refreshes a pool)
cancel nothing and do not wait. A program that opens for writing waits, for less than a second as a
rule; with O_NONBLOCK it gets EWOULDBLOCK (Resource temporarily unavailable) instead, and may try
again. `vmtune apply --wait` does all else, and rewrites the image as soon as it is let go.

V703 The file has more than one name. A rewritten image is a new file that takes one name over; the
others would go on naming the old data, and the two would drift apart.

V704 The attribute i (immutable) or a (append-only), or fs-verity, keeps the file's name from being
given to another file, or the subvolume became read-only. Somebody did that on purpose: vmtune does
not undo it.

V705 The image is made of several files (a backing file, a data file, extents), and another one of
them is open. The program that has the other file may open this one at any time.

V706 While an image is rewritten the old and the new one are both there, so that much must be free.
What snapshots or clones share stays in use afterwards, and what was compressed takes its full size.
Where quotas are on, the room is what the disk has free or what the limits of the subvolume's
qgroups leave, whichever is less: `btrfs qgroup show -pcre PATH` shows them. Btrfs frees the space
of a removed file only when it commits. So where room is missing, vmtune has the filesystem commit
(syncfs(2)), and tries once more.

V707 After the rewrite more space is in use, for one or both of two reasons. A snapshot, or a
clone, keeps the old data: both are on disk until it is deleted. And data that was compressed
takes its full size, because it is written anew without compression.

V708 vmtune remembers by name at most a thousand files that are to be left as they are. Where more
cannot be rewritten, the path is probably not the images' own directory.

V709 vmtune does not keep the old file of a rewritten image, so `revert` leaves the image as it is
now. The content of the image is the same to the byte: both files were compared before the old one
was removed. Because a rewrite cannot be taken back, `apply PLAN` asks too, and without a terminal
it needs --yes.

V710 A rewrite that was killed left a copy beside the image, and somebody may need the copy. Either
a program that had found the image just before has written to the copy since, or the image itself is
gone. vmtune removes a copy only if the image beside it makes the copy superfluous.

V711 Two programs opened the image for writing in the quarter of a second in which old and new file
changed places, and both may have written: one to the image, one to this copy. vmtune cannot know
which one is right. Compare them (qemu-img compare, cmp), keep one under the image's name, remove
the other.

V712 A rewrite is for regular files. A symbolic link keeps leading where it leads: declare the
directory in which the image itself lies. FIFOs, sockets and devices hold no data of their own.

V713 Nobody has the image open, but a mount holds it: the image is bind-mounted somewhere (into a
container, or a service with BindPaths=), another mount covers it, or it lies in a layer of an
overlay (docker, podman). A mount keeps the inode, not the name. After a rewrite it would go on with
the old file, which has no name any more, and what is written there would be lost. Mounts of every
mount namespace are looked at. A bind mount of the directory around it is no hindrance: it shows the
new file.

V714 The NFS server exports a directory around the image. A rewritten image is a new file with a new
inode. A client of NFSv3 opens nothing on the server, so nobody here can tell whether a guest on
another host uses the image. It would go on with the old file, which has no name any more: what it
writes there is lost, without an error. Once the server has let go of that file it says ESTALE.

V715 Some of this host's mounts could not be looked at, so a mount may hold any of the images. What
vmtune could not look at, it does not take for unused.

V716 The kernel cannot read the image at the byte that is named: the checksum of the data does not
match, or the disk does not read the block. vmtune copies no image that it cannot read whole, so the
image stays as it is. `btrfs scrub` and the kernel's log tell more; on RAID1 or DUP a scrub repairs
what another copy still has. Otherwise restore the image from a backup, or accept it: `existing:
keep`.

V717 The subvolume has a quota (a qgroup of its own, or one above it), and the copy of the image
goes beyond its limit. The old data is freed only when the copy is in its place, so both count
meanwhile. `btrfs qgroup show -re PATH` shows limits and use; `btrfs qgroup limit` changes a limit.

V718 The disk or the kernel failed at the copy: an error as it was written or read, or the copy did
not read back as it was written. The copy is dropped, and the image stays as it was. The kernel's
log (dmesg) says what the disk answered.

V719 The image was moved, replaced, linked or truncated, or its owner, mode or attributes changed,
while it was rewritten. The rewrite is cancelled, and the image is what that program made of it.

V721 A new file cannot be made like the image: the kernel refuses nocow there (as on a zoned
filesystem), or an extended attribute, an owner or a time that the image has.

V722 The image ends within the last block of the largest file that there can be (8 EiB; only a
sparse file is so large). Whole blocks cannot be written there.

V723 The rewrite of this image ended with an error that vmtune does not expect. The image is as it
was, and all others are done. Please report it.

V724 The image is whole, but something of its rewriting is left. Either the old data beside it
(.vmtune-...) could not be removed: the next `apply` does that. Or the disk failed in the moment
when the two files were to change places again: then the image's name and the other one both hold
the image, no further image is begun, and a person has to compare them. Or a program opened the old
data for writing, through a descriptor that the program had, in the microseconds in which vmtune
gave the old data up.

V725 A virtual machine has the image open, and `allow: [suspend-machines]` lets vmtune work around
that. libvirt saves the machine (virsh managedsave): its memory goes to /var/lib/libvirt/qemu/save
(~/.config/libvirt/qemu/save for a user's own libvirt), and its process ends. Its images below the
path are rewritten as always. Then libvirt starts the machine from its save. The machine is not
rebooted: its programs go on where they stood, but its clock is behind, and connections to it may
break. The plan estimates how long the machine stands still, at 100 MiB a second: its memory counts
twice, its images once. Whatever fails in between, the machine is started again with its images as
they are. A machine is left alone (V702 says why) where it is not one of libvirt's, is transient,
has a device that cannot be saved or was never tried (a device of the host, a shared directory, the
host's own TPM), a disk that is neither raw nor qcow2 or that another machine has too, internal
snapshots, checkpoints, a managed save already, a job that runs, a network that is not active, or
not enough room for its memory; where QEMU was updated since the machine was started; and where a
viewer that may hand a USB device to it (USB redirection) is connected to its screen: the device
would be unplugged.

V726 A run of vmtune saved the machine and was ended before the machine could go on: by a kill, or a
power cut. Nothing is lost: each of its images is whole, and its memory is in libvirt's managed
save. `vmtune apply` starts it before all else. So does `virsh start`. Its images that are not
rewritten yet are left until it is on. Do not remove the managed save (virsh managedsave-remove):
the machine would boot as after a power cut. A machine that is started is paused until the end of
its save is on the disk. Where the run was ended just then, the machine is still paused, and
`vmtune apply` or `virsh resume` has it go on.
"""
