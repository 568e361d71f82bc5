"""Running other programs: by absolute path, without a shell, in the C locale."""

from __future__ import annotations

import os
import shutil
import subprocess

from reconciler.host.refused import Refused

SEARCH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/run/current-system/sw/bin"
"""The system's folders: a user's PATH may lack sbin, and must not choose what root runs."""


def find(name: str) -> str:
    """Absolute path of a program, "" when there is none."""
    return shutil.which(name, path=SEARCH) or ""


def _zone() -> dict[str, str]:
    """The caller's time zone: next runs are told in it."""
    return {"TZ": os.environ["TZ"]} if "TZ" in os.environ else {}


def run(name: str, *arguments: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """The finished program, whatever its exit code; Refused when it is missing or hangs."""
    program = find(name)
    if not program:
        raise Refused(f"{name} is not installed")
    try:
        return subprocess.run(
            [program, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=timeout,
            text=True,
            errors="surrogateescape",
            # Ctrl-C at the terminal is for vmtune, which lets the running action finish.
            start_new_session=True,
            env={**_zone(), "PATH": SEARCH, "LC_ALL": "C.UTF-8"},
        )
    except subprocess.TimeoutExpired:
        raise Refused(f"{name} did not answer in {timeout:.0f} s") from None


def must(name: str, *arguments: str, timeout: float = 60) -> str:
    """Standard output of a program that succeeded; Refused carries its own complaint."""
    done = run(name, *arguments, timeout=timeout)
    if done.returncode:
        said = (done.stderr or done.stdout).strip() or "no message"
        raise Refused(f"{name} {' '.join(arguments)}: exit {done.returncode}: {said}")
    return done.stdout
