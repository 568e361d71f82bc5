"""A person at a terminal in a container, who reads before typing."""

import contextlib
import os
import select
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence

from tests.host.container import Container


class Typed:
    """A program on a terminal of its own; what it printed is in ``seen``."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.seen = ""
        self._read = 0

    def until(self, words: str, seconds: float = 60) -> str:
        """Waits for words that were not waited for before; the result is all up to them."""
        deadline = time.monotonic() + seconds
        while (at := self.seen.find(words, self._read)) < 0:
            if not self._more(deadline - time.monotonic()):
                raise AssertionError(f"{words!r} never came. All that was printed:\n{self.seen}")
        begun, self._read = self._read, at + len(words)
        return self.seen[begun : self._read]

    def _more(self, seconds: float) -> bool:
        assert self.process.stdout
        ready = select.select([self.process.stdout], [], [], max(0, seconds))[0]
        data = os.read(self.process.stdout.fileno(), 65536) if ready else b""
        self.seen += data.decode("utf-8", "replace").replace("\r\n", "\n")
        return bool(data)

    def type(self, text: str) -> None:
        """Sudo throws away what was typed before it asked: wait first."""
        assert self.process.stdin
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def end(self, seconds: float = 60) -> int:
        """Reads to the end; the exit code."""
        deadline = time.monotonic() + seconds
        while self._more(deadline - time.monotonic()):
            pass
        return self.process.wait(5)


@contextlib.contextmanager
def typed(
    container: Container,
    argv: str | Sequence[str],
    *,
    user: str = "alice",
    env: Mapping[str, str] | None = None,
) -> Iterator[Typed]:
    argv = ["sh", "-c", argv] if isinstance(argv, str) else argv
    command = container.command(argv, user=user, tty=True, env={"NO_COLOR": "1", **(env or {})})
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT) as process:
        try:
            yield Typed(process)
        finally:
            process.kill()
