"""A machine that writes steadily: 4 KiB at a random place, fdatasync(2), two milliseconds of rest.

    python -I writer.py FILE

Writes a line when it begins. When its standard input ends, it writes the 99th percentile in
seconds, and ends.
"""

import os
import random
import select
import sys
import time

BLOCK, REST = 4096, 0.002


def main() -> None:
    fd = os.open(sys.argv[1], os.O_RDWR)
    blocks = os.fstat(fd).st_size // BLOCK
    chosen, block = random.Random(1), os.urandom(BLOCK)  # noqa: S311 - no secret
    took: list[float] = []
    print("writes", flush=True)
    while not select.select([sys.stdin], [], [], REST)[0]:
        at = chosen.randrange(blocks) * BLOCK
        begun = time.perf_counter()
        os.pwrite(fd, block, at)
        os.fdatasync(fd)
        took.append(time.perf_counter() - begun)
    print(sorted(took)[int(len(took) * 0.99)] if took else 0.0)


main()
