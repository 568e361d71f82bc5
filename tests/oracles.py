"""Who judges what plan, status and doctor say of the kernel, of systemd and of other programs.

Each sentence is known by its code, or by its text in the source where it has none, with {} for what
is filled in. Where a code has several sentences, each is known by the code and a part of its text,
as in "V411: is on a read-only mount". A test that has the thing done, and asks somebody else about
it, is marked with all that it holds::

    @oracle("filefrag", "V103", "new files are written in place")

``tests/house/test_oracles.py`` says which sentence has neither a judge nor a place in UNJUDGED.
A sentence that claims nothing of the kernel goes to UNJUDGED; a judge that nobody asked before has
a line in ORACLES. Not counted is why `vmtune defrag` leaves a file (resources/defrag/ranges.py).
"""

from __future__ import annotations

import pytest

ORACLES = {
    "lsattr": r"lsattr|attributes\(|is_nocow|property",
    "filefrag": r"filefrag|fragments\(|encoded\(",
    "compsize": r"compsize",
    "mountinfo": r"mountinfo|compression\(|findmnt|booted|machine\.",
    "mount(8)": r"\"mount\"|mounts\(",
    "findmnt": r"findmnt",
    "stat": r"read_bytes|iterdir|\.stat\(",
    "errno": r"errno|OSError|No space left",
    "statvfs": r"statvfs|used\(",
    "fcntl": r"F_SETLEASE|lease",
    "fsconfig": r"libc\.syscall",
    "backing file": r"st_blocks",
    "btrfs": r"\"btrfs\", \"subvolume\", \"list\"",
    "btrfs scrub": r"\"scrub\"",
    "btrfs device": r"\"device\", \"stats\"",
    "btrfs qgroup": r"\"qgroup\", \"show\"|\"qgroup\", \"limit\"",
    "chattr": r"\"chattr\"",
    "tar": r"in_archive",
    "qemu-img": r"qemu-img",
    "journalctl": r"journalctl",
    "systemctl": r"systemctl|installed\.shown",
    "systemd-analyze": r"systemd-analyze",
    "virsh": r"VIRSH|virsh",
    "nfsd": r"SCRIPT",
    "getfacl": r"getfacl",
    "getfattr": r"getfattr",
}
"""Each judge, with a pattern for how a test asks it, or what its module has that the test names."""

UNJUDGED = {
    # Of the host's files and programs, or of what vmtune itself does, allows and knows.
    "V109": "a rule of vmtune's: whose links root follows",
    "V118": "a guess at what was meant",
    "V210": "who wrote /etc/fstab; of NixOS the manual says it",
    "V301": "a program is missing",
    "V302": "a program is missing",
    "V303": "in which form the schedule is",
    "V307": "a file has that name",
    "V310": "no process of that name is running",
    "V311": "a rule of vmtune's: what it writes down",
    "V320": "what a shell script does is not known",
    "V401": "a rule of vmtune's: what revert leaves",
    "V404": "what another configuration declares",
    "V405": "a configuration is gone",
    "V502": "a program is missing",
    "V504": "a program is missing",
    "V527": "the same as V210",
    "V536": "what the configuration says",
    "V537": "what the plan says",
    "V603": "a rule of vmtune's: it turns none into a directory",
    "V608": "a rule of vmtune's: what it does not move",
    "V610": "a rule of vmtune's: what it does not copy",
    "V611": "how many files vmtune may open",
    "V614": "what vmtune keeps, for a person to compare",
    "V617": "what vmtune could not look at",
    "V708": "how much vmtune remembers",
    "V709": "what vmtune does not record",
    "V710": "what vmtune keeps, for a person to compare",
    "V711": "what vmtune keeps, for a person to compare",
    "V712": "a rule of vmtune's: what it rewrites",
    "V715": "what vmtune could not look at",
    "V718": "what a disk or the kernel answered, repeated",
    "V719": "what another program did meanwhile",
    "V723": "an error that nobody expects",
    "V724": "what vmtune left, for the next run or a person",
    "V804": "what may not be read",
    # Sentences of a code that says several.
    "V103: accepted by `allow: [snapshots]`": "what the configuration allows",
    "V114: which subvolume it stands for is not known": "what may not be read",
    "V201: /etc/fstab has no line for": "repeats /etc/fstab",
    "V201: is of the same filesystem": "repeats /etc/fstab",
    "V204: mounts {}, and /etc/fstab has no line for it": "repeats both files",
    "V501: has loaded no Btrfs": "repeats /proc/filesystems",
    "V506: accepted": "what the configuration allows",
    "V506: no ": "what was not found",
    "V508: its free space is not visible": "what may not be read",
    "V509: for Btrfs not tried": "what vmtune did not look at",
    "V514: no file has lost nocow": "what was read of files",
    "V514: not all of its files are readable": "what may not be read",
    "V530: of the system: none defragments": "what was not found",
    "V530: only its shell can tell": "as V320",
    "V624: not known. A new subvolume inherits neither": "what may not be read",
    "V702: which has to go on first": "what vmtune does",
    # Sentences without a code.
    "{} stays{}, because {}. Run {} made it": "a rule of vmtune's",
    "{} declared this at its last `apply`": "what another configuration declares",
    "to take it back, take it out of that file too, and run `vmtune --config {} apply`": "the same",
    "{}; {}": "joins two sentences",
    "{} is another directory than the one that run {} changed: it stays": "a rule of vmtune's",
    "{}: {}": "a name and its figures",
    "is as it was before": "what a revert finds",
    "it stays a subvolume: vmtune turns none into a directory": "a rule of vmtune's",
    "{}; declare each directory": "a rule of vmtune's: no pattern is expanded",
    "{} (and {} more)": "counts",
    "there is no such directory: it will be made, empty": "what vmtune does",
    "the path leads to {}": "names a path",
    "{} is another mount, and is not looked into": "what vmtune does not look at",
    "what is below keeps the compression property": "what revert leaves",
    "by cron": "when it is due",
    "by systemd": "when it is due",
    "there is no such directory yet: until there is one, a run {}": "what vmtune's job does",
    "is {} already": "what was read of a file",
    "and {}": "counts",
    "{} {}": "joins two sentences",
    "{} with data {} {}, as declared": "what was read of files",
    "unfinished copies that a run left when it was killed": "what vmtune left",
    "{}: {}, becomes {}": "what vmtune does",
    "`revert` cannot take this back": "what revert leaves",
    "images stay as they were rewritten": "what revert leaves",
    "images stay as they were rewritten, and the machine is left as it is": "what revert leaves",
    "a machine that was started is left on": "what revert leaves",
    "images that were rewritten are left as they are": "what revert leaves",
    "needs up to {} in {} for its memory, {} are free; and up to {} of free space for its images": (
        "counts, from above"
    ),
    "Btrfs {}": "a name",
    "not mounted here, but at {}": "repeats /proc/self/mountinfo",
    "mounted at {} as well": "repeats /proc/self/mountinfo",
    "other fstab lines of this filesystem: {}": "repeats /etc/fstab",
    "the kernel could not be asked here whether it takes this; `apply` asks it before it writes": (
        "what vmtune does"
    ),
    "it is not known whether line {} can mount: {}": "what may not be read",
    "{}, so revert leaves all of it nocow": "what revert leaves",
    "{} directories and empty files below stay nocow": "what revert leaves",
    "what was made nocow below it is left as it is": "what revert leaves",
    "left as it is": "what vmtune does",
    "the old directory is removed": "what vmtune does",
}
"""What claims nothing of the kernel, or cannot be tried: with the reason in a word."""


STATUS = {
    "status: fragments": "how many fragments an image has",
    "status: shared": "how much of it snapshots and clones share",
    "status: compressed": "how much of it is compressed",
    "status: compression": "the setting of a filesystem, now and at boot, and who decides it",
}
"""What status says by itself, beside the sentences of the plan."""


def oracle(by: str, *claims: str) -> pytest.MarkDecorator:
    """Mark a test as the one in which ``by`` judges sentences, by their codes or their texts."""
    return pytest.mark.oracle(by, *claims)
