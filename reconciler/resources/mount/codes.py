"""What the codes of mount mean: a paragraph each, which ``vmtune explain`` prints."""

from __future__ import annotations

TEXT = """\
V201 There is no line for the mount point in /etc/fstab. vmtune changes a line that is there and
does not invent one. The plan names the mount that the path is on, or the line that leads there by
another name. Where no line mounts / at all, the initramfs does, with rootflags= of the kernel's
command line, and its options are written there.

V202 The mount point has several lines in /etc/fstab. systemd and `mount TARGET` take the first.
`mount -a` tries each: another filesystem is mounted over the first one, and the same filesystem is
refused there a second time. Take out all lines but one.

V203 mount(8) and systemd read the line in two different ways, or the line does not say what it
seems to say. Correct the line first.

V204 A mount unit or a drop-in of one takes the place of the line's options: systemd never reads
those in /etc/fstab. A mount unit may also mount what no line names. Options are set in that file.
The lines of / and /usr always count: systemd-remount-fs.service(8) reads them itself.

V205 The running kernel refuses the option. On the line of / the next boot would leave / read-only,
since the remount that makes it writable fails; on another line the mount would fail.

V206 The kernel could not be asked whether it takes the option, and / is not mounted here to try
it on. `allow: [root-options]` accepts the risk.

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

V211 No word brings the option back to what it was while the filesystem is mounted: the kernel has
no opposite of user_subvol_rm_allowed, and chooses between ssd and nossd by the disk only when it
mounts. The line in /etc/fstab is changed now, and it takes effect at the next mount. Until then
nothing more can be done, so `R` stands before such an entry until that mount, and sets no exit
code.

V212 Neither the mounted filesystem compresses nor would its line in /etc/fstab have it compress:
without the option a filesystem does not, and a compress option before nodatacow or nodatasum has no
effect. compress=no in the line says so in words.

V213 Nocow files are never compressed, not even under compress-force, so compress=no adds nothing
for them. compress=no ends compression for everything else on the filesystem, in all its subvolumes.
Leave it out, unless that is what you want.

V220 compress, nodatacow and nodatasum are one family of options: the later one holds, on a line as
well as in a remount. Compression ends nodatacow and nodatasum for the whole filesystem, and files
made from then on are written in another way than the line asked for. So vmtune does not write
compress= where one of the two is in force, live, in the line, or in rootflags=. Decide for one of
them. compress=no ends neither.

V221 A compress option that stands behind nodatacow or nodatasum in a line switches them off. If
it were taken out, or compress=no were written in its place, they would be in force from the next
mount on.

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

V230 The system was booted from a snapshot in place of its own subvolume (grub-btrfs, snapper,
Timeshift). A directory that is made nocow in it is so in the snapshot alone. The next ordinary boot
mounts the system's own subvolume, where nothing of it is to be seen.

V231 / is an overlay that shows an image (composefs, as on Fedora Atomic desktops and with bootc).
The Btrfs that holds the image is mounted first, by the initramfs at /sysroot, with rootflags= of
the kernel's command line. Its options are written there: `rpm-ostree kargs` changes it. The line of
/ in /etc/fstab is applied to the overlay, if at all. A `mounts` entry for another mount point of
that filesystem (/var, /home) changes the live filesystem until the next boot.
"""
