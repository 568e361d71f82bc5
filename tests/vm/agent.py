"""Run programs in a guest for who asks at the virtio port "vmtune": one line of JSON each way.

This file is copied into the guest and started by its systemd; it needs nothing but Python.
A request is {"id", "argv", "input"}, its answer {"id", "code", "out", "err"}; input, out and err
are in base64. As the agent starts it says {"hello": BOOT_ID}: that tells one boot from the next.
"""

import base64
import json
import os
import select
import subprocess
import threading
import time
from pathlib import Path

NAME = "vmtune"
_PORTS = Path("/sys/class/virtio-ports")
_LOCK = threading.Lock()


def port() -> int:
    """Open the port, which the kernel finds while systemd starts."""
    while True:
        for name in _PORTS.glob("*/name"):
            if name.read_text("ascii").strip() == NAME:
                return os.open(f"/dev/{name.parent.name}", os.O_RDWR)
        time.sleep(0.1)


def requests(fd: int):
    """Yield each whole line as a value; while nobody is there, the port says end of file."""
    parts: list[bytes] = []
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    while True:
        poll.poll()
        more = os.read(fd, 1 << 16)
        if not more:
            time.sleep(0.1)
            continue
        parts.append(more)
        if b"\n" in more:
            *lines, rest = b"".join(parts).split(b"\n")
            parts = [rest]
            yield from map(json.loads, filter(None, lines))


def say(fd: int, value: object) -> None:
    data = memoryview(json.dumps(value).encode() + b"\n")
    with _LOCK:
        while data:
            data = data[os.write(fd, data[: 1 << 15]) :]


def answer(fd: int, request: dict) -> None:
    given = base64.b64decode(request["input"])
    try:
        done = subprocess.run(request["argv"], input=given, capture_output=True, check=False)
        code, out, err = done.returncode, done.stdout, done.stderr
    except OSError as error:
        code, out, err = 127, b"", str(error).encode()
    told = [base64.b64encode(data).decode() for data in (out, err)]
    say(fd, {"id": request["id"], "code": code, "out": told[0], "err": told[1]})


def main() -> None:
    fd = port()
    say(fd, {"hello": Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()})
    for request in requests(fd):
        threading.Thread(target=answer, args=(fd, request), daemon=True).start()


if __name__ == "__main__":
    main()
