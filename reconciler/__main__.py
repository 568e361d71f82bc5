"""The program: ``vmtune``, or ``python -m reconciler``."""

from __future__ import annotations

import gc
import os
import sys
from contextlib import suppress

_COLLECT_AFTER = 200_000
"""Objects. Most runs keep what they make, to the end: to look for garbage would find none."""


def main() -> None:
    """Run, and exit with what it says."""
    if sys.getfilesystemencoding() != "utf-8" and not sys.flags.utf8_mode:
        # vmtune.yaml is UTF-8, and so are the names in it, whatever the locale can print.
        with suppress(OSError):
            os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])  # noqa: S606
    if sys.stdin is None or sys.stdout is None or sys.stderr is None:
        _open_closed()
    if os.geteuid() == 0:
        # Root must not leave compiled files in a user's checkout.
        sys.dont_write_bytecode = True
        # sudo and doas hand on the caller's: with 077 nobody could read the journal.
        os.umask(0o022)
    gc.set_threshold(_COLLECT_AFTER)
    from reconciler.cli import run  # noqa: PLC0415 - after the lines above

    code = run(sys.argv[1:])
    gc.freeze()  # or Python looks through all objects once more while it ends
    sys.exit(code)


def _open_closed() -> None:
    """/dev/null where the caller closed a stream: or the next file opened becomes that stream."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            fd = os.open(os.devnull, os.O_RDWR)
            os.dup2(fd, number)  # for the programs that are run, too
            if fd != number:
                os.close(fd)
            stream = open(number, mode, encoding="utf-8", closefd=False)  # noqa: SIM115 - to the end
            setattr(sys, name, stream)


if __name__ == "__main__":
    if not __package__:
        # Called by its path, as root with -I: this package, whatever else has its name; what lies
        # beside it is found behind all of the system's own modules.
        sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        import reconciler  # noqa: F401 - its modules are found by it from here on

        sys.path.append(sys.path.pop(0))
    main()
