"""What the codes of subvolume mean: a paragraph each, which ``vmtune explain`` prints."""

from __future__ import annotations

TEXT = """\
V603 The path is a subvolume, and `subvolume: false` does not ask for one. It is used like any
directory, so it stays: to undo it, move what is in it to a new directory by hand.

V604 Snapshots of the subvolume around it keep the files that are in the directory now, and share
their data. While those snapshots are there, the first write to a shared block copies the block.
Later snapshots do not contain the directory.

V605 A home or a directory of the system holds far more than images, and all of it would be left
out of snapshots: declare the directory that holds the images.

V606 The mount or the subvolume that the path lies in is read-only.

V607 The directory is a mount point, or another mount holds it or what is in it: a bind mount, also
of a service or a container, in whatever mount namespace, or an overlay that has it as a layer. A
mount holds the directory itself, not its name. The mount would go on showing the old directory, and
what is written there would be lost.

V608 Another subvolume or mount lies in the directory. Neither can come along: a subvolume is where
it is, and a mount covers what lies below it. Move it out first.

V609 Files in the directory have names outside of it too. A hard link cannot reach into another
subvolume: the one file would become two.

V610 A socket, FIFO or device lies in the directory. A program has a socket or FIFO by its inode, so
a copy of it leads nowhere; and vmtune makes no device. Before you remove it, see what made it: the
storage of containers may hold devices of its own.

V611 A directory becomes a subvolume while each of its files is held by a lease, so that nobody
writes to one of them meanwhile. The directory has more files than can be held at once.

V612 No data is copied, but each file's metadata is. The filesystem has no room for that.

V613 A process has a directory of it open or as its working directory. The process would go on in
the old directory, and what it makes there would be lost.

V614 While the directory became a subvolume, a program used it, so vmtune changed the names back. By
then a program had written to the subvolume too, or may have. Both are there, and the directory has
its own name. `diff -r` tells what differs: copy what you want to keep, then remove the subvolume
with `btrfs subvolume delete`. No run of vmtune does that.

V615 A file in the directory is open, mapped, attached to a loop device or swapped to. The subvolume
has new files, and a program that has the old file would go on writing to the old file. The other
changes of the plan are made all the same.

V616 The NFS server exports the directory, one above it or one in it. Each file gets a new inode in
the subvolume. A client of NFSv3 opens nothing on the server, so nobody here can tell whether it
uses a file. It would go on with the old file, which has no name any more: what it writes there is
lost, without an error. Once the server has let go of that file it says ESTALE.

V617 Some of this host's mounts could not be looked at, so a mount may hold what is in the
directory. What vmtune could not look at, it does not take for unused.

V618 The attribute i (immutable) or a (append-only), or fs-verity, keeps a file or a directory from
being moved to a subvolume. Somebody set it on purpose: vmtune does not take it off. Nothing takes
fs-verity off, and a copy is not sealed: move the sealed file out of the directory.

V619 The file was written while the filesystem was mounted with nodatasum: it has no checksums, and
lsattr does not show that. A new file gets checksums, and Btrfs lets the two share no data. Where
the same entry has `existing: rewrite`, the file is written anew first, and the directory can become
a subvolume in the next run.

V621 A subvolume inside another one is in none of its snapshots. After a rollback the path shows an
empty stub, and the subvolume with all images is inside the old subvolume, the one that was rolled
back. Whoever removes the old subvolume removes the images with it. A subvolume at the top level of
the filesystem, mounted at the path by its own line in /etc/fstab (subvol=...), is not touched by a
rollback of another one. `vmtune explain subvolume` says how to make one.

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
copy-on-write, and stay so. To make them nocow, or to set the property, write `nocow: true` or
`compression:` beside `subvolume: true`. An ACL is set by hand (setfacl(1)).
"""
