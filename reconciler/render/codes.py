"""What the codes behind a line of the plan mean: the text of ``vmtune explain``."""

from __future__ import annotations

_TEXT = """\
V101 The file has data and is copy-on-write. The kernel takes the nocow attribute only on an
empty file: on one with data `chattr +C` exits with 0 and changes nothing. Its data has to be
written anew, into a file made after the directory became nocow, while nothing has it open.

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

V201 There is no line for the mount point in /etc/fstab. vmtune changes a line that is there and
does not invent one.

V202 The mount point has several lines in /etc/fstab. systemd keeps the first, mount(8) uses
them all: which one counts depends on who reads.

V203 mount(8) and systemd would not read the line alike, or it is not what it looks like. Mend
it first.

V204 A mount unit or a drop-in of one takes the place of the line's options: systemd never reads
those in /etc/fstab.

V205 The running kernel refuses the option. On the line of / it would boot to a read-only root
without a shell, on another one fail the mount.

V206 The kernel could not be asked whether it takes the option, and / is not mounted here to try
it on. `allow: [root-options]` accepts the risk.

V207 A Btrfs filesystem has one compression setting. The first mount of it decides, at boot the
line of / if it is one of them; the same option on another line is decoration.

V208 What is mounted at the mount point is not what its line in /etc/fstab names. Changing both
would change two different filesystems.

V209 The line shows a directory a second time (bind). Options of the filesystem belong on the
filesystem's own line.

V210 /etc/fstab cannot be replaced here, so the live mount is not touched either: the next boot
would undo it.

V211 Nothing switches the option off while the filesystem is mounted: the line in /etc/fstab is
changed now, and the next mount goes by it.

V301 Defragmenting is done by btrfs(8), from the package btrfs-progs.

V302 The scheduler that the entry names is not on this host.

V303 systemd's calendar can say what five cron fields cannot.

V304 systemd does not accept the schedule; systemd.time(7) has the notation.

V305 Somebody's crontab defragments the same directory already. Two schedules do the same work
twice; vmtune never edits a crontab that it did not make.

V306 Snapshots or clones share data with files in the directory. Defragmenting writes a copy for
each, so the disk can fill up. `allow: [snapshots]` in the entry accepts that.

V307 A file that vmtune did not make has the name that it would use.

V308 `btrfs filesystem defragment -r` does not enter subvolumes. Declare it as an entry of its
own if it is to be defragmented.

V309 A nocow file that no snapshot shares is rewritten in place and stays in one piece:
defragmenting it finds nothing to do.

V310 No cron daemon is running, so what lies in /etc/cron.d waits for one.

V311 The path has bytes that neither a crontab nor a unit file can hold.

V401 The place no longer holds what the run wrote. Putting the old value back would undo
somebody else's change.
"""

CODES = {
    paragraph[:4]: " ".join(paragraph[5:].split()) for paragraph in _TEXT.strip().split("\n\n")
}
"""By code, each on one line."""
