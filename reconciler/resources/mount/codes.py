"""What the codes of mount mean: a paragraph each, which ``vmtune explain`` prints."""

from __future__ import annotations

TEXT = """\
V205 The running kernel refuses the option. On the line of / the next boot would leave / read-only,
since the remount that makes it writable fails; on another line the mount would fail.

V206 The kernel could not be asked whether it takes the option, and / is not mounted here to try
it on. `allow: [root-options]` accepts the risk.

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
"""
