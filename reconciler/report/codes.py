"""What the codes behind a line of the plan mean: the text of ``vmtune explain``."""

from __future__ import annotations

_TEXT = """\

V101 The file has data and is copy-on-write. The kernel takes the nocow attribute only on an
empty file: on one with data `chattr +C` exits with 0 and changes nothing. Its data has to be
written anew, into a new file that is nocow, while nothing has it open. `existing: rewrite` in the
entry, or `--allow rewrite-images` for once, does that; `existing: keep` accepts the file as it is.

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

V201 There is no line for the mount point in /etc/fstab. vmtune changes a line that is there and
does not invent one. The plan names the mount that the path is on, or the line that leads there by
another name. Where no line mounts / at all, the initramfs does, with rootflags= of the kernel's
command line, and its options are written there.

V202 The mount point has several lines in /etc/fstab. systemd keeps the first, mount(8) uses
them all: which one counts depends on who reads.

V203 mount(8) and systemd would not read the line alike, or it is not what it looks like. Mend
it first.

V204 A mount unit or a drop-in of one takes the place of the line's options: systemd never reads
those in /etc/fstab. A mount unit may also mount what no line names. Options are set in that file.
The lines of / and /usr always count: systemd-remount-fs.service(8) reads them itself.

V205 The running kernel refuses the option. On the line of / it would boot to a read-only root
without a shell, on another one fail the mount.

V206 The kernel could not be asked whether it takes the option, and / is not mounted here to try
it on. `allow: [root-options]` accepts the risk.

V207 A Btrfs filesystem has one compression setting, and the first mount of it decides. At boot that
is the one of the initramfs (rootflags= on the kernel's command line), to which
systemd-remount-fs.service(8) then applies the line of /, but not where / is an overlay that shows
an image. While / stays read-only, the first line that is mounted writable puts its own algorithm in
the place of the one before; where it names none, nothing is compressed. What is declared for
another line is on until the next boot. The same is true of a line that is not mounted at boot
(noauto, x-systemd.automount), of a mount unit, and of a subvolume that is mounted while another one
is. The plan works out the order of mounts and says who decides, and where the option must be
written.

V208 What is mounted at the mount point is not what its line in /etc/fstab names: another
filesystem, or another subvolume (subvol= in /proc/self/mountinfo). Changing both would change two
different things. A system that was booted from a snapshot (grub-btrfs, snapper, Timeshift) is one
case: its changes are left behind by the next ordinary boot. A directory of the subvolume that the
line names (an ostree deployment, X-mount.subdir=) is no difference.

V209 The line shows a directory a second time (bind). Options of the filesystem belong on the
filesystem's own line.

V210 /etc/fstab cannot be replaced here, so the live mount is not touched either: the next boot
would undo it. NixOS makes the file from its configuration: there options are written as
fileSystems."/".options, and the plan shows the line.

V211 Nothing switches the option off while the filesystem is mounted: the line in /etc/fstab is
changed now, and the next mount goes by it. All that can be done is done then, so `R` stands before
such an entry until that mount, and sets no exit code.

V212 Neither the line in /etc/fstab nor the mounted filesystem has compression: off is what a
filesystem is without the option. compress=no there makes sure that it stays so.

V213 Nocow files are never compressed, not even under compress-force, so compress=no adds nothing
for them. What it does is to end compression for everything else on the filesystem, in all its
subvolumes. Leave it out, unless that is what you want.

V230 The system was booted from a snapshot in place of its own subvolume (grub-btrfs, snapper,
Timeshift). A directory that is made nocow in it is so in the snapshot alone. The next ordinary boot
mounts the system's own subvolume, where nothing of it is to be seen.

V231 / is an overlay that shows an image (composefs, as on Fedora Atomic desktops and with bootc).
The Btrfs that holds the image is mounted first, by the initramfs at /sysroot, with rootflags= of
the kernel's command line. Its options are written there: `rpm-ostree kargs` changes it. The line of
/ in /etc/fstab is applied to the overlay, if at all. A `mounts` entry for another mount point of
that filesystem (/var, /home) changes the live filesystem until the next boot.

V220 compress, nodatacow and nodatasum are one family of options: the later one holds, on a line as
well as in a remount. Compression ends nodatacow and nodatasum for the whole filesystem, and files
made from then on are written in another way than the line asked for. So vmtune does not write
compress= where one of the two is in force, live, in the line, or in rootflags=. Decide for one of
them. compress=no ends neither.

V221 A compress option that stands behind nodatacow or nodatasum in a line holds them down. To take
it out, or to write compress=no in its place, would let them loose at the next mount.

V222 The kernel refuses to mount what the line names: a subvolid= that is not that of the path in
subvol= (after a rollback the path has a new subvolume, with a new id), a subvolume that is gone, a
directory that is no subvolume, or an empty subvol=. What is mounted now was mounted by another
line, by hand, or before the rollback. subvol= alone is enough: leave subvolid= out.

V223 autodefrag queues every file that small random writes go to, for the whole filesystem: see
V513.

V224 With discard=sync freed blocks are discarded within each commit, which takes minutes on some
disks. discard=async does it in the background, and is the kernel's default where a disk can.

V225 flushoncommit makes each commit write all data that was changed before it. A longer commit=
leaves more unsynced data to be lost in a crash of the host. Data that a guest has synced is safe
with any of these options.

V301 Defragmenting is done by btrfs(8), from the package btrfs-progs.

V302 The scheduler that the entry names is not on this host.

V303 systemd's calendar can say what five cron fields cannot.

V304 systemd does not accept the schedule; systemd.time(7) has the notation.

V305 Another job defragments the same directory already, or one that it lies in: a line of a
crontab or of anacrontab, a file in /etc/cron.daily and its kind, a timer of systemd, or the package
btrfsmaintenance. Two schedules do the same work twice, and most of the others copy what snapshots
share without a look. vmtune never changes what it did not make.

V306 Snapshots or clones share data with files in the directory. Defragmenting would write a copy
of what they share, so the disk could fill up. A scheduled run does not do that. Where root owns
the installation of vmtune (a package, or a directory below /opt), the run is `vmtune defrag`: it
leaves the files that share data and does the others. Elsewhere the run is btrfs-progs, and it is
skipped while anything below the directory is shared. Either way the run says so in the journal or
the log. `allow: [snapshots]` in the entry has everything defragmented, copies included.

V307 A file that vmtune did not make has the name that it would use.

V308 `btrfs filesystem defragment -r` does not enter subvolumes. Declare it as an entry of its
own if it is to be defragmented.

V309 A nocow file that no snapshot shares is rewritten in place and stays in one piece:
defragmenting it finds nothing to do.

V310 No cron daemon is running, so what lies in /etc/cron.d waits for one.

V311 The path has bytes that neither a crontab nor a unit file can hold.

V312 While the filesystem is mounted with compress= or compress-force=, defragmenting compresses
whatever it rewrites, images that were written uncompressed among them: a piece is then 128 KiB at
most. Nocow files are left as they are. `compression: none` for the directory keeps its files from
it too, but not under compress-force; `compress: no` under `mounts` ends it for the whole
filesystem.

V320 Another job defragments something, and what that is only its shell can tell: it stands in a
variable, or another program finds it. If it is a declared directory, the work is done twice.

V401 The place no longer holds what the run wrote. Putting the old value back would undo
somebody else's change.

V404 Another configuration of this host declares the place with another value, as of its last
`vmtune apply`. Neither undoes what the other declares. Write the same value into both files, or
take the entry out of the other one and apply that one first.

V405 A configuration had this set, and its file is gone: it was moved or removed. No other file
declares it, so nothing says whether it is still wanted, and a plain `apply` leaves it. `vmtune
apply PATH` takes it back, also where there is no configuration at all. To keep it, declare it in
a vmtune.yaml: that file answers for it from its next `apply` on. A file counts as gone only where
the filesystem that it was on is there: what a home that is not mounted declares is left as it is.

V411 Nothing can be written there: the mount or the subvolume is read-only, or chattr(1) made the
file or its directory immutable (i) or append-only (a). What is as declared already needs no writing
and is in sync there, too.

V501 Which kernel runs, and whether it has Btrfs. Since 6.8 a kernel can be asked whether it takes
a mount option before anything is mounted; an older one tells only when it mounts, so vmtune tries
an option on the live mount before it writes it to /etc/fstab.

V502 btrfs(8), from the package btrfs-progs, defragments. All else vmtune asks of the kernel itself.

V503 findmnt(8), from util-linux, verifies /etc/fstab before a changed one is put in its place.
Where findmnt is missing, or is ended by a signal (that of util-linux 2.41.5 is, by a line that is
no entry), nothing is verified: `apply` says so, and exits with 6.

V504 Something has to run what is scheduled: systemd, or a cron daemon.

V505 libvirt 6.6 and later makes the directory of a pool nocow when it builds the pool (virsh
pool-build), unless the pool says <features><cow state='yes'/></features>. With state='no' it fails
where that cannot be had. A pool that was only started was never built.

V506 Nocow files have no checksums. Where the filesystem keeps two or more copies of data, nothing
tells the good one, and scrub repairs nothing. `allow: [raid]` says that this is accepted.

V507 While a snapshot shares a block, the first write to it is copied to a new place. Images in a
subvolume that is snapshotted fragment as if they were copy-on-write. A subvolume of their own is in
no snapshot of the one around it.

V508 Room that statvfs(3) reports as free. When a write of a guest finds none, QEMU pauses it; nocow
files that no snapshot shares are rewritten in place and need none.

V509 A line of /etc/fstab that mount(8) and systemd would not read alike, a second line for a mount
point, or what findmnt --verify calls an error.

V510 A Btrfs filesystem has one compression setting. Whichever option is written on this line, the
next boot ends in the same setting, so the line may be cleaned up: see V207 for who decides. A line
whose option takes part in the decision is not named here, though it may look superfluous.

V511 A mount unit, or a drop-in that sets Options=, takes the place of the line's options: systemd
never reads those in /etc/fstab.

V512 compress-force compresses every file that is not nocow, also those in a directory with
`compression: none`.

V513 autodefrag queues every file that small random writes go to, for the whole filesystem. On
large images it writes more than it saves.

V514 Only what is created in a nocow directory becomes nocow. A file that was there before, was
moved in from the same subvolume, or came back by btrfs receive is copy-on-write and stays so until
its data is written anew. `vmtune plan` names each.

V515 The running kernel refuses an option of a line in /etc/fstab. On the line of / the machine then
boots to a read-only root, on another one the mount fails.

V516 A device of the filesystem is missing, it is mounted degraded, a device is being replaced, or
the kernel made it read-only after an error. Nocow data has no checksums, so what is written to it
in such a state may be read wrong later: see V111, V112 and V113.

V517 The kernel has counted errors of a device since its counters were last reset. They may be old;
`btrfs scrub start` tells whether anything is damaged now. Damage in nocow data it cannot see.

V518 A limit of a qgroup leaves less room than the disk has. A guest whose write meets the limit
(EDQUOT, "Disk quota exceeded") is paused or sees an error, as on a full disk.

V519 At the declared path is an empty stub, as a rollback leaves it behind: see V114.

V525 The system was booted from a snapshot: see V230 and V208.

V526 The mounted filesystem has another compression setting than the one it will have after the next
boot, or it cannot be told which mount will be the first: see V207 for who decides.

V527 /etc/fstab cannot be replaced by a new file, so each `mounts` entry that would change a line is
refused: see V210.

V535 snapper or Timeshift looks after the subvolume around this one. A rollback puts a snapshot in
its place. What is a subvolume inside is in no snapshot: it stays in the old one, and an empty stub
takes its place (V114). So the machines do not start after a rollback, and who clears the old one
away removes the images. A subvolume at the top level of the filesystem that /etc/fstab mounts at
the path stays where it is.

V536 Two entries of the configuration contradict each other, so no plan can be made of it: `vmtune
plan` says the same. What else doctor looks at does not depend on it.

V537 `vmtune plan` refuses the entry, for the reason that is given.

V538 SELinux goes by labels. The policy has one for each path; a directory that was made in another
way has the type of the directory around it, a new subvolume none (unlabeled_t), and what is made in
it inherits that. A machine that SELinux confines may not use an image there. vmtune gives what it
makes the label of the policy; `restorecon` gives it to what is there. A label that administrators
may set by hand (customizable_types) is left alone.

V530 Other jobs may defragment the same directory: a timer, a crontab, a file in /etc/cron.daily and
its kind, or btrfsmaintenance. The plan refuses a `defrag` entry beside one (V305). One alone copies
what snapshots and clones share at each run, unless it looks first; few do.

V520 The filesystem is mounted nodatacow or nodatasum, by its line in /etc/fstab, by rootflags=, or
by hand. Each file that is made on it has no checksums, and never gets them: not only images, and
whatever is declared for a directory. On a profile with two copies nothing tells the good one.

V521 The next mount by the line fails, or mounts another subvolume than the one that is there: see
V222 and V208. On a line that the boot waits for a failure means the emergency shell.

V522 With discard=sync freed blocks are discarded within each commit: see V224.

V523 flushoncommit, or a longer commit=: see V225.

V524 Of compress, nodatacow and nodatasum the later one holds. The one before it stands in the line
for nothing.

V603 The path is a subvolume, and `subvolume: false` does not ask for one. It is used like any
directory, so it stays: to undo it, move what is in it to a new directory by hand.

V604 Snapshots of the subvolume around it keep the files that are in the directory now, and share
their data. Each block so shared is copied at its first write, until those snapshots are gone;
later snapshots do not contain it.

V605 A home or a directory of the system holds far more than images, and all of it would be left
out of snapshots: declare the directory that holds the images.

V606 The mount or the subvolume that the path lies in is read-only.

V607 The directory is a mount point, or another mount holds it or what is in it: a bind mount, also
of a service or a container, in whatever mount namespace, or an overlay that has it as a layer. A
mount goes by the directory, not by its name: it would go on showing the old one, and what is
written there would be lost.

V608 Another subvolume or mount lies in the directory. Neither can come along: a subvolume is where
it is, and a mount covers what lies below it. Move it out first.

V609 Files in the directory have names outside of it too. A hard link cannot reach into another
subvolume: the one file would become two.

V610 A socket, FIFO or device lies in the directory. It belongs to a program that has it by its
inode, and a copy of it leads nowhere.

V611 A directory becomes a subvolume while each of its files is held by a lease, so that nobody
writes to one of them meanwhile. There are more of them than can be held at once.

V612 No data is copied, but each file's metadata is. The filesystem has no room for that.

V613 A process has a directory of it open or as its working directory. It would go on in the old
one, and what it makes there would be lost.

V614 While the directory became a subvolume somebody used it, so the names were changed back; by
then somebody had, or may have, written to the subvolume too. Both are there, the directory under
its own name. `diff -r` tells what differs: copy what you want to keep, then remove the subvolume
with `btrfs subvolume delete`. No run of vmtune does that.

V621 A subvolume inside another one is in none of its snapshots. After a rollback the path shows an
empty stub, and the subvolume with all images is in the old one that was rolled back. Who clears
that one away clears the images away with it. A subvolume at the top level of the filesystem,
mounted at the path by its own line in /etc/fstab (subvol=...), is not touched by a rollback of
another one. `vmtune explain subvolume` says how to make one.

V622 A limit on the subvolume around counts what is in that subvolume. A new subvolume has a qgroup
of its own, without a limit. With simple quotas the new one gets the same parent qgroups, whose
limits then count for both. `btrfs qgroup limit SIZE PATH` sets a limit on the new one.

V623 To a program that stays on one filesystem a subvolume is another filesystem: it has a device
number of its own (stat(2)). rsync -x and tar --one-file-system, borg and restic with
--one-file-system, and recipes that use these, leave it out without a word, also where the directory
was in the backup until now. The same is true of a subvolume at the top level that is mounted at the
path. A snapshot of the subvolume around does not contain it either. Name the path to the backup
program, and look into the next backup.

V624 A new file or directory gets nocow, the compression property and a default ACL from the
directory that it is made in. A new subvolume gets none of them: the kernel hands no attribute into
it, and vmtune takes away a property that it has from the subvolume around it. Images made in it are
copy-on-write, and stay so. An entry with `nocow: true` or `compression:` beside `subvolume: true`
decides it. An ACL is set by hand (setfacl(1)).

V615 A file in the directory is open, mapped, attached to a loop device or swapped to. The directory
becomes a subvolume with new files, and whoever has the old file would go on writing to that. The
other changes of the plan are made all the same.

V616 The NFS server exports the directory, one above it or one in it. Each file gets a new inode in
the subvolume. A client of NFSv3 opens nothing on the server, so nobody here can tell whether it
uses a file; it would get ESTALE, and what it has not yet written would be lost.

V617 Some of this host's mounts could not be looked at, so a mount may hold what is in the
directory. vmtune takes nothing for unused that it could not look at.

V618 The attribute i (immutable) or a (append-only), or fs-verity, keeps a file or a directory from
being moved to a subvolume. Somebody set it on purpose: vmtune does not take it off.

V619 The file was written while the filesystem was mounted with nodatasum: it has no checksums, and
lsattr does not show that. A new file gets checksums, and Btrfs lets the two share no data. Where
the same entry has `existing: rewrite`, the file is written anew first, and the directory can become
a subvolume in the next run.

V701 The file has compressed extents although its directory now has compression `none`. A property
counts for what is written from then on: what is compressed stays so, through compress=no, reads and
plain defragmentation, until it is written anew. `existing: rewrite` does that.

V702 Something has the image open: a virtual machine, a loop device, a program that reads it. vmtune
never begins to rewrite such a file, because what is written to the old file meanwhile would be
lost. Leases (fcntl(2), F_SETLEASE) decide that: the kernel says whether anybody has the image open.
Who has it open is named as far as that can be seen. Or a program opened the image for writing while
the image was rewritten: then that rewrite is cancelled, and the program has the file that it asked
for. Programs that come later and only read (a backup, lsattr, libvirt as it refreshes a pool)
cancel nothing and do not wait. A program that opens for writing waits, for less than a second as a
rule; with O_NONBLOCK it gets EWOULDBLOCK (Resource temporarily unavailable) instead, and may try
again.

V703 The file has more than one name. A rewritten image is a new file that takes one name over; the
others would go on naming the old data, and the two would drift apart.

V704 The attribute i (immutable) or a (append-only), or fs-verity, forbids to give the file's name
to another one, or the subvolume became read-only. Somebody did that on purpose: vmtune does not
undo it.

V705 The image is made of several files (a qcow, qcow2, QED or VMDK with a backing file, a qcow2
with a data file, a VMDK with extents), and another one of them is open. Whoever has that one may
open this one at any time.

V706 While an image is rewritten the old and the new one are both there, so that much must be free.
What snapshots or clones share stays in use afterwards, and what was compressed takes its full size.
Where quotas are on, the room is what the disk has free or what the limits of the subvolume's
qgroups leave, whichever is less: `btrfs qgroup show -pcre PATH` shows them.
Btrfs frees the space of a removed file only when it commits. So where room is missing, vmtune first
has that done (syncfs(2)), and tries once more.

V707 The snapshot, or the clone, keeps the old data: after the rewrite both are on disk. It is given
back when the snapshot is deleted.

V708 vmtune remembers by name at most a thousand files that are to be left as they are. Where more
cannot be rewritten, the path is probably not the images' own directory.

V709 What a rewritten image was like before is not kept: revert leaves it as it is now. Its content
is the same to the byte, and was compared before the old one was removed. Before it does that, also
`apply PLAN` asks on a terminal, and needs --yes where there is none.

V710 A rewrite that was killed left a copy beside the image, and somebody may need it: it was
written to since, by a program that had found the image just before, or the image itself is gone.
vmtune removes only a copy that the image beside it makes superfluous.

V711 Two programs opened the image for writing in the quarter of a second in which old and new file
changed places, and both may have written: one to the image, one to this copy. vmtune cannot know
which one is right. Compare them (qemu-img compare, cmp), keep one under the image's name, remove
the other.

V712 A rewrite is for regular files. A symbolic link keeps leading where it leads: declare the
directory in which the image itself lies. FIFOs, sockets and devices hold no data of their own.

V716 The kernel cannot read the image at the byte that is named: the checksum of the data does not
match, or the disk does not read the block. vmtune copies no image that it cannot read whole, so the
image stays as it is. `btrfs scrub` and the kernel's log tell more; on RAID1 or DUP a scrub repairs
what another copy still has. Else restore the image from a backup, or accept it: `existing: keep`.

V717 The subvolume has a quota (a qgroup of its own, or one above it), and the copy of the image
goes beyond its limit. The old data is freed only when the copy is in its place, so both count
meanwhile. `btrfs qgroup show -re PATH` shows limits and use; `btrfs qgroup limit` changes a limit.

V718 The disk or the kernel failed at the copy: an error as it was written or read, or the copy did
not read back as it was written. The copy is dropped, and the image stays as it was. The kernel's
log (dmesg) says what the disk answered.

V719 The image was moved, replaced, linked or truncated, or its owner, mode or attributes changed,
while it was rewritten. The rewrite is cancelled, and the image is what that program made of it.

V720 Another process has a write lease on the file (fcntl(2), F_SETLEASE): a run of vmtune that
exchanges it for its rewritten copy, or a file server. Who opens the file breaks the lease, so
vmtune does not look at it. It asks again for a second; after that the row says who has the file.
Once that process has finished, the next look sees the file.

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
data for writing, through a descriptor that it had, in the microseconds in which that was given up.

V713 Nobody has the image open, but a mount holds it: the image is bind-mounted somewhere (into a
container, or a service with BindPaths=), another mount covers it, or it lies in a layer of an
overlay (docker, podman). A mount keeps the inode, not the name. After a rewrite it would go on with
the old file, which has no name any more, and what is written there would be lost. Mounts of every
mount namespace are looked at. A bind mount of the directory around it is no hindrance: it shows the
new file.

V714 The NFS server exports a directory around the image. A rewritten image is a new file with a new
inode. A client of NFSv3 opens nothing on the server, so nobody here can tell whether a guest on
another host uses the image; it would get ESTALE, and what it has not yet written would be lost.

V715 Some of this host's mounts could not be looked at, so a mount may hold any of the images.
vmtune takes nothing for unused that it could not look at.

V801 The mount option compress-force compresses whatever a property says, but for nocow files.
Mount with compress=, or make the directory nocow.

V802 The kernel refuses a compression property on what is nocow, and nocow beside a property, with
EINVAL. nocow files are never compressed; `nocow: false` beside `compression` ends it for new files.

V803 A subvolume inside does not inherit the property: its new files go by the mount option. Declare
it as a path of its own if it holds images.

V804 The file or directory could not be opened for reading, so its property is not known.

V807 Data that is there already keeps the compression it was written with. Only under `compression:
none` can vmtune write it anew; to have it compressed, see btrfs-filesystem(8), defragment -c.

V808 A directory below is nocow, hands that on, and nocow files are never compressed. A directory
declared here need not end what was set one level down.
"""

CODES = {
    paragraph[:4]: " ".join(paragraph[5:].split()) for paragraph in _TEXT.strip().split("\n\n")
}
"""By code, each on one line."""

_SEGMENTS = """\
Images cut into segments: why nocow makes that unnecessary.

Some cut an image into many small files (VMDK extents, or a folder of 64 MiB segments), so that a
copy-on-write filesystem has smaller files to scatter. It scatters them all the same: what counts is
how many blocks are rewritten, not in how many files they lie.

Measured on a loop-mounted Btrfs (Linux 6.18, mkfs -m single): 1 GiB written once, then 20,000
random writes of 4 KiB, data synced after each 32, as a guest's flush does; three rounds in turn,
median (lowest to highest). Written is what the device was given, by byte of payload.

@copy-on-write, one file: 37,116 fragments (37,045 to 37,188), written 3.8, 7.7 s (6.5 to 12.6)
@copy-on-write, 16 segments: 37,130 fragments (37,059 to 37,200), written 9.8, 43 s (39 to 93)
@nocow, one file: 2 fragments, written 1.3, 5.2 s (5.0 to 15.6)
@nocow, 16 segments: 16 fragments (16 to 19), written 4.9, 36 s (25 to 78)

Segments saved no fragment. They cost 2.6 times the writes copy-on-write, and 3.8 times nocow, since
a flush of the guest becomes one fsync(2) for each segment that it touched. Times on that machine,
which others used too, are rough; fragments and bytes are not. `python3 tests/bench/segments.py`
measures it again.

With nocow an image of any size stays in the place where it was first written, while no snapshot
shares it. What segments would cost besides: a descriptor or a chain that must stay whole, more
files to keep together in a backup, and tools that know raw and qcow2 only. vmtune recognises images
of several files (qcow, qcow2, QED and VMDK with backing files, data files, extents) and treats them
as one: no part is rewritten while another is open.
"""

TOPICS = {"segments": _SEGMENTS}


def paragraphs(topic: str) -> list[str]:
    """Each on one line; those that begin with @ are rows of a table, and stay apart."""
    return [
        row
        for block in TOPICS[topic].strip().split("\n\n")
        for row in (block.split("\n") if block.startswith("@") else [" ".join(block.split())])
    ]
