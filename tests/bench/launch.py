"""Starts one program and tells what it cost, as a small process of its own.

    python3 -IS launch.py DESCRIPTOR PROGRAM ARGUMENT...

The kernel's peak of memory begins with what the process that starts a program has itself
(getrusage(2): it outlives execve): a starter that has grown would hide the program's. What the
program says goes to the descriptor; printed are the exit code, seconds of CPU time and of the
clock, and the peak in bytes.
"""

import os
import sys
import time

_SIGPIPE = 13


def main() -> None:
    said, argv = int(sys.argv[1]), sys.argv[2:]
    files = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, said, 1),
        (os.POSIX_SPAWN_DUP2, said, 2),
    ]
    start = time.monotonic()
    process = os.posix_spawnp(argv[0], argv, os.environ, file_actions=files, setsigdef=[_SIGPIPE])
    _, status, usage = os.wait4(process, 0)
    wall = time.monotonic() - start
    code = os.waitstatus_to_exitcode(status)
    print(code, usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss * 1024)


main()
