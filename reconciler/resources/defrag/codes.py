"""What the codes of defrag mean: a paragraph each, which ``vmtune explain`` prints."""

from __future__ import annotations

TEXT = """\
V305 Another job defragments the same directory already, or one that it lies in: a line of a
crontab or of anacrontab, a file in /etc/cron.daily and its kind, a timer of systemd, or the package
btrfsmaintenance. Two schedules do the same work twice, and most of the others copy what snapshots
share without a look. vmtune never changes what it did not make.

V306 Snapshots or clones share data with files in the directory. Defragmenting would write a copy of
what they share, so the disk could fill up. A scheduled run does not do that. Where root owns the
installation of vmtune (a package, or a directory below /opt), the run is `vmtune defrag`: it leaves
the files that share data and does the others. Elsewhere the run is btrfs-progs, and it is skipped
while anything below the directory is shared. Either way the run says so in the journal or the log.
`allow: [snapshots]` in the entry defragments everything, and copies what is shared.

V308 `btrfs filesystem defragment -r` does not enter subvolumes. Declare it as an entry of its
own if it is to be defragmented.

V309 A nocow file that no snapshot shares is rewritten in place and stays in one piece:
defragmenting it finds nothing to do.

V312 While the filesystem is mounted with compress= or compress-force=, defragmenting compresses
whatever it rewrites, also images that were written uncompressed: a fragment is then at most 128
KiB. Nocow files are left as they are. `compression: none` for the directory keeps its files from
it too, but not under compress-force; `compress: no` under `mounts` ends it for the whole
filesystem.

V320 Another job defragments something, and vmtune cannot tell what: the path stands in a variable,
or another program finds it. If the path is a declared directory, the work is done twice.
"""
