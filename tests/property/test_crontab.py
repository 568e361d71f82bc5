"""What cron and a shell make of a written line is the argument list it was made from."""

from __future__ import annotations

import os
import subprocess

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reconciler.formats import calendar
from reconciler.formats.shell import defragmented

characters = st.one_of(
    st.sampled_from([*"\\%'\"$`~*?[]{}();&|<>#!= \t\r-/aé", "\udcff"]),
    st.characters(blacklist_categories=("Cs",), blacklist_characters="\0\n"),
)
arguments = st.text(characters, max_size=20)


def debian(command: bytes) -> bytes:
    r"""do_command.c of Debian's cron: ``\%`` is %, two backslashes one, % ends the command."""
    return _shortened(command, b"%\\")


def cronie(command: bytes) -> bytes:
    r"""The same of cronie: ``\%`` is %, other backslashes stay."""
    return _shortened(command, b"%")


def _shortened(command, unescaped):
    kept, escaped = bytearray(), False
    for byte in command:
        if escaped:
            if byte in unescaped:
                kept.pop()
            escaped = False
        elif byte == ord("%"):
            break
        else:
            escaped = byte == ord("\\")
        kept.append(byte)
    return bytes(kept)


@pytest.fixture(scope="module")
def printer(tmp_path_factory):
    """A program that prints its arguments, each with a NUL behind."""
    path = tmp_path_factory.mktemp("bin") / "print %it"
    path.write_text("#!/bin/sh\nfor a; do printf '%s\\0' \"$a\"; done\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize("cron", [debian, cronie])
@settings(max_examples=150, deadline=None)
@example(argv=["\\\\", "\\%", "%", "\\'%'\\\\\\", "", "~", "#", "a=b"])
@given(argv=st.lists(arguments, min_size=1, max_size=6))
def test_the_arguments_arrive(printer, cron, argv):
    line = calendar.table("", ["0 0 * * *"], "root", calendar.command([printer, *argv])).split(
        b"\n"
    )[4]
    command = cron(line.removeprefix(b"0 0 * * * root "))
    done = subprocess.run([b"/bin/sh", b"-c", command], capture_output=True, check=True)
    assert done.stdout.split(b"\0")[:-1] == [os.fsencode(argument) for argument in argv]
    assert done.stderr == b""


@given(argv=st.lists(arguments, max_size=5), comment=st.text(characters))
def test_a_written_file_reads_back(argv, comment):
    data = calendar.table(
        comment, ["0 0 * * *", "*/5 1 * * 7"], "root", calendar.command(["/bin/x", *argv])
    )
    first, second = calendar.parse_table(data, system=True)
    assert (first.number, first.schedule, first.user) == (5, "0 0 * * *", "root")
    assert (second.number, second.schedule, second.user) == (6, "*/5 1 * * 7", "root")
    written = data.split(b"\n")[4].removeprefix(b"0 0 * * * root ")
    assert os.fsencode(first.command) == debian(written)


@given(name=arguments.filter(lambda name: "/" not in name))
def test_a_written_path_is_recognised(name):
    path = f"/srv/{name}.d"
    argv = ["/usr/bin/btrfs", "filesystem", "defragment", "-r", "-t", "32M", path]
    (job,) = calendar.parse_table(
        calendar.table("", ["0 0 * * *"], "root", calendar.command(argv)), system=True
    )
    assert defragmented(job.command, "/home/u") == (path,)


@given(st.binary() | st.text("*0 \t\n@dailyroot='\"\\%#").map(str.encode), st.booleans())
def test_parse_never_raises(data, system):
    numbers = [job.number for job in calendar.parse_table(data, system=system)]
    assert numbers == sorted(set(numbers))
    assert max(numbers, default=0) <= data.count(b"\n") + 1


lines = st.text("\\%'\"$`~*?[]{}();&|<>#= \t\n-/.a") | st.text()


@given(
    st.lists(st.one_of(lines, st.sampled_from(["btrfs fi defrag ", "find ", "-exec ", "sh -c "])))
)
def test_defragmented_never_raises(parts):
    for path in defragmented("".join(parts), "/home/u"):
        assert path.startswith("/")
        assert "\0" not in path or "\0" in "".join(parts)
