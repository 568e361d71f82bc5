"""What the codes of ``vmtune doctor`` mean: a paragraph each, which ``vmtune explain`` prints."""

from __future__ import annotations

TEXT = """\
V501 Which kernel runs, and whether it has Btrfs. Since 6.8 a kernel can be asked whether it takes
a mount option before anything is mounted; an older one tells only when it mounts, so vmtune tries
an option on the live mount before it writes it to /etc/fstab.

V502 btrfs(8), from the package btrfs-progs, is what scheduled jobs run. For everything else vmtune
asks the kernel itself.

V503 findmnt(8), from util-linux, verifies /etc/fstab before a changed one is put in its place.
Where findmnt is missing, or a signal ends it, nothing is verified: `apply` says so, and exits with
6. In util-linux 2.41.5 a line that is no entry ends findmnt in this way.

V504 Something has to run what is scheduled: systemd, or a cron daemon.

V505 libvirt 6.6 and later makes the directory of a pool nocow when it builds the pool (virsh
pool-build), unless the pool says <features><cow state='yes'/></features>. With state='no'
building fails where nocow is not possible. A pool that was only started was never built.

V506 Nocow files have no checksums. Where the filesystem keeps two or more copies of data, nothing
can tell which copy is good, and scrub repairs nothing. `allow: [raid]` accepts that.

V507 While a snapshot shares a block, the first write to it is copied to a new place. Images in a
subvolume that is snapshotted fragment as if they were copy-on-write. A subvolume of their own is in
no snapshot of the one around it.

V508 The free space that statvfs(3) reports. When a guest writes and there is no free space, QEMU
pauses the guest. Nocow files that no snapshot shares are rewritten in place, and need no free
space.

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
boots with a read-only root; on another line the mount fails.

V516 Whether the filesystem is whole. Where it is not, the row says in which way, and V111 and the
codes beside it say what follows. Nocow data has no checksums, so what is written to it in such a
state may be read wrong later.

V517 The kernel has counted errors of a device since its counters were last reset. They may be old;
`btrfs scrub start` tells whether anything is damaged now. A scrub cannot see damage in nocow data.

V518 A limit of a qgroup leaves less room than the disk has. A guest whose write meets the limit
(EDQUOT, "Disk quota exceeded") is paused or sees an error, as on a full disk.

V519 At the declared path is an empty stub, as a rollback leaves it behind: see V114.

V520 The filesystem is mounted nodatacow or nodatasum, by its line in /etc/fstab, by rootflags=, or
by hand. Each file that is made on it has no checksums and never gets them, whatever is declared for
its directory. That holds for all files, not only for images. On a profile with two copies nothing
can tell which copy is good.

V521 The next mount by the line fails, or mounts another subvolume than the one that is there: see
V222 and V208. If the boot waits for that line, a failure ends in the emergency shell.

V522 With discard=sync freed blocks are discarded within each commit: see V224.

V523 flushoncommit, or a longer commit=: see V225.

V524 Of compress, nodatacow and nodatasum the later one holds. The one before it has no effect.

V525 The system was booted from a snapshot: see V230 and V208.

V526 The mounted filesystem has another compression setting than the one it will have after the next
boot, or it cannot be told which mount will be the first: see V207 for who decides.

V527 /etc/fstab cannot be replaced by a new file, so each `mounts` entry that would change a line is
refused: see V210.

V530 Other jobs may defragment the same directory: a timer, a crontab, a file in /etc/cron.daily and
its kind, or btrfsmaintenance. The plan refuses a `defrag` entry beside such a job (V305). Such a
job alone copies at each run what snapshots and clones share, unless it looks first; few jobs do.
vmtune does not look at timers of users: `systemctl --user list-timers` shows yours.

V535 snapper or Timeshift looks after the subvolume around this one. A rollback puts a snapshot in
the place of that subvolume. A subvolume inside is in no snapshot: it stays in the old subvolume,
and an empty stub is in the new one (V114). So the machines do not start after a rollback, and
whoever removes the old subvolume removes the images. A subvolume at the top level of the filesystem
that /etc/fstab mounts at the path stays where it is.

V536 Two entries of the configuration contradict each other, so no plan can be made of it: `vmtune
plan` says the same. The other rows of doctor do not depend on that.

V537 `vmtune plan` refuses the entry, for the reason that is given.

V538 SELinux decides by labels, and its policy has a label for each path. A directory that was made
in another way has the type of the directory around it; a new subvolume has no type (unlabeled_t).
What is made in it inherits that. A machine that SELinux confines may not use an image there. vmtune
gives the label of the policy to what it makes; `restorecon` gives it to what is there already. A
label that administrators may set by hand (customizable_types) is left alone.

V539 A run of vmtune saved a virtual machine to rewrite its images, and was ended before the machine
could go on: see V726. The machine is off, or paused, and nothing is lost. `vmtune apply` has it go
on where it stood. So does the command that stands in the row.

V540 SELinux enforces, and a schedule is declared that cron is to run: see V313.
"""
