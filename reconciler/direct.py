"""Commands that work where the command line says, and need no configuration."""

from __future__ import annotations

import click

from reconciler import completing
from reconciler.value import dataclass, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from reconciler.terminal import Terminal


@dataclass(frozen=True, slots=True)
class Chosen:
    """The options that stand before the command."""

    terminal: Terminal
    config: str | None
    host: str | None


@click.command()
@click.argument(
    "paths", nargs=-1, required=True, metavar="PATH...", shell_complete=completing.files
)
@click.option("--allow", metavar="RISK", multiple=True, type=click.Choice(["snapshots"]),
              help="`snapshots`: also files that snapshots or clones share.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print what happens as lines of JSON.")
@click.pass_obj
def defrag(chosen: Chosen, paths: tuple[str, ...], allow: tuple[str, ...], as_json: bool) -> int:
    """Defragment the files below PATH, or one image, now.

    As `btrfs filesystem defragment -r` does, also while a machine runs, but with
    progress; and what lies well, or what snapshots or clones share, is left as it
    is, so that a second run writes nothing. Ctrl-C ends it after the running step.

    Works as you: what only root may write to is named. Nothing is journalled,
    since there is nothing to take back. What is scheduled under `defrag:` is done
    by btrfs-progs: root's timer runs no program out of a home.
    """
    from reconciler.commands import defrag as command  # noqa: PLC0415 - each pays for itself

    return command.run(replace(chosen.terminal, json=as_json), paths, allow)


@click.command()
@click.argument("path", metavar="PATH", shell_complete=completing.files)
@click.option("--size", default="128M", metavar="SIZE", show_default=True,
              help="Size of the temporary image.")  # fmt: skip
@click.option("--rounds", type=click.IntRange(1, 100), default=3, metavar="N", show_default=True,
              help="How often copy-on-write and nocow take turns.")  # fmt: skip
@click.option("-y", "--yes", is_flag=True, help="Do not ask, also from 1 GiB on.")
@click.option("--json", "as_json", is_flag=True, help="Print it as one JSON document.")
@click.pass_obj
def measure(  # noqa: PLR0913, PLR0917 - one per option
    chosen: Chosen, path: str, size: str, rounds: int, yes: bool, as_json: bool
) -> int:
    """Try in the directory PATH what nocow would bring there.

    Writes random blocks into temporary images, copy-on-write and nocow in
    turn, and compares what the disk had to write, fragments, writes a second
    and reading afterwards. Says first what it will write; needs no root where
    you may write, and leaves nothing behind.
    """
    from reconciler.commands import measure as command  # noqa: PLC0415

    return command.run(replace(chosen.terminal, json=as_json), path, size, rounds, yes=yes)


@click.command()
@click.argument("run", metavar="[RUN]", type=int, required=False, shell_complete=completing.runs)
@click.pass_obj
def history(chosen: Chosen, run: int | None) -> int:
    """Show what was done, when, by whom and how it ended.

    With RUN, every action of that one.
    """
    from reconciler.commands import history as command  # noqa: PLC0415

    return command.run(chosen.terminal, run)
