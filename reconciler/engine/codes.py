"""What the codes of the engine mean: a paragraph each, which ``vmtune explain`` prints."""

from __future__ import annotations

TEXT = """\
V301 A program that the job runs is not installed, so vmtune sets up no schedule. The refusal names
the program and the package that has it.

V302 The scheduler that the entry names is not on this host.

V303 The schedule is in the notation of systemd, which cron does not read. Write five fields, or
have systemd run it.

V304 systemd does not accept the schedule, or all of its times are over; systemd.time(7) has the
notation.

V307 A file that vmtune did not make has the name that vmtune would use for this schedule.

V310 No cron daemon is running, so what lies in /etc/cron.d waits for one.

V311 The path has control characters, or is no UTF-8. vmtune writes such a path to no crontab and no
unit file. Give the directory a plainer name.

V313 SELinux enforces, and cron is to run the job. By Debian's policy a job of cron gets a domain
(system_cronjob_t) that may read much and change little, so the job changes no image. A job that a
timer of systemd starts is let through. Whether the policy of this host denies it as well, only a
run shows: after a defragmentation, `filefrag` counts the fragments of a file.

V401 The place no longer holds what the run wrote. Putting the old value back would undo
somebody else's change.

V404 Another configuration of this host declares the place with another value, as of its last
`vmtune apply`. Neither file undoes what the other file declares. Write the same value into both
files, or take the entry out of the other file, and run `vmtune apply` with the other file first.

V405 A configuration had this set, and the file of that configuration is gone: it was moved or
removed. No other file declares it, so vmtune cannot know whether it is still wanted, and a plain
`apply` leaves it as it is. `vmtune apply PATH` takes it back, also where there is no configuration
at all. To keep it, declare it in a vmtune.yaml, and run `vmtune apply` with that file. A file
counts as gone only where the filesystem that it was on is there. What a home that is not mounted
declares is left as it is.

V411 Nothing can be written there: the mount or the subvolume is read-only, or chattr(1) made the
file or its directory immutable (i) or append-only (a). What is as declared already needs no
writing, so it is in sync there too.
"""
