"""argv in, text and exit code out."""

from __future__ import annotations

import click

from reconciler import __version__, completing, exits
from reconciler.direct import Chosen, defrag, history, measure
from reconciler.terminal import Terminal
from reconciler.value import replace

_HELP = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@click.group(context_settings=_HELP)
@click.version_option(__version__, "-V", "--version", message="vmtune %(version)s")
@click.option(
    "--config", metavar="FILE", shell_complete=completing.files, help="The configuration to use."
)
@click.option("--host", metavar="NAME", help="Read the configuration as on another host.")
@click.option("--color", type=click.Choice(["auto", "always", "never"]), default="auto",
              help="When to colour the output.")  # fmt: skip
@click.option("-v", "--verbose", is_flag=True, help="Show whole texts of files that would change.")
@click.option("-q", "--quiet", is_flag=True, help="Print no progress, and `status` nothing.")
@click.pass_context
def cli(  # noqa: PLR0913, PLR0917 - one per option
    context: click.Context,
    config: str | None,
    host: str | None,
    color: str,
    verbose: bool,
    quiet: bool,
) -> None:
    """Btrfs tuned for virtual machine images, as declared in vmtune.yaml.

    Read the host, see what would change and why, then have it done:

    \b
      vmtune plan
      vmtune apply
    """  # noqa: D301 - click reads the backspace itself
    context.obj = Chosen(Terminal(color, verbose, quiet), config, host)


@cli.command()
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    shell_complete=completing.files,
    help="Write it to FILE, which must not be there.",
)
@click.pass_obj
def init(chosen: Chosen, output: str | None) -> int:
    """Print a vmtune.yaml for what this host has.

    Finds Btrfs filesystems, libvirt pools and domains, GNOME Boxes, quickemu,
    image files in the usual places, snapshot tools and hand-made cron lines.
    Says for each what was found, what is suggested, why, and at what price.
    """
    from reconciler.commands import init as command  # noqa: PLC0415

    return command.run(chosen.terminal, chosen.host, output)


for _each in (defrag, history, measure):
    cli.add_command(_each)


RISKS = ("raid", "snapshots", "rewrite-images", "root-options")
_allow = click.option(
    "--allow",
    metavar="RISK",
    multiple=True,
    type=click.Choice(RISKS),
    help=f"Take a risk for once, as `allow:` in the file does for good: {', '.join(RISKS)}.",
)


@cli.command()
@click.argument("files", nargs=-1, metavar="[FILE]...", shell_complete=completing.files)
@click.option("--all-hosts", is_flag=True, help="Check what every host would get.")
@click.pass_obj
def validate(chosen: Chosen, files: tuple[str, ...], all_hosts: bool) -> int:
    """Check configurations; look at no host.

    Without FILE it is the configuration that plan would use; - or /dev/stdin is
    standard input. All problems are printed at once as file:line:column.
    """
    from reconciler.commands import validate as command  # noqa: PLC0415 - each pays for itself

    return command.run(chosen.terminal, files or (chosen.config,), chosen.host, all_hosts)


@cli.command()
@click.option(
    "-o",
    "--output",
    metavar="PLAN",
    shell_complete=completing.files,
    help="Save the plan, for `vmtune apply PLAN`.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the plan as one JSON document.")
@_allow
@click.option("--detailed-exitcode", is_flag=True, help="Exit with 2 or 7 if not in sync.")
@click.pass_obj
def plan(
    chosen: Chosen,
    output: str | None,
    as_json: bool,
    allow: tuple[str, ...],
    detailed_exitcode: bool,
) -> int:
    """Show what would change and why; change nothing.

    Needs no root: what may not be seen is shown as `?`. Exits with 0, also when
    something differs or is refused, and with 6 when nothing does but something could
    not be seen. With --detailed-exitcode it exits with 2 when something differs, and
    with 7 when nothing does that could be changed but something declared is refused.
    """
    from reconciler.commands import plan as command  # noqa: PLC0415

    terminal = replace(chosen.terminal, json=as_json)
    return command.run(
        terminal, chosen.config, chosen.host, output, allow=allow, detailed=detailed_exitcode
    )


@cli.command()
@click.argument("plan", metavar="PLAN", shell_complete=completing.files)
@click.option("--json", "as_json", is_flag=True, help="Print it as one JSON document.")
@click.pass_obj
def show(chosen: Chosen, plan: str, as_json: bool) -> int:
    """Show a saved plan, also one that is stale or was applied."""
    from reconciler.commands import show as command  # noqa: PLC0415

    return command.run(replace(chosen.terminal, json=as_json), plan)


@cli.command()
@click.argument("plan", metavar="[PLAN]", required=False, shell_complete=completing.files)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@_allow
@click.option("--json", "as_json", is_flag=True, help="Print what happens as lines of JSON.")
@click.option("--approved", metavar="TOKEN", default="", hidden=True,
              help="What was said yes to before root was asked for.")  # fmt: skip
@click.pass_obj
def apply(  # noqa: PLR0913, PLR0917 - one per option
    chosen: Chosen,
    plan: str | None,
    yes: bool,
    allow: tuple[str, ...],
    as_json: bool,
    approved: str,
) -> int:
    """Show the plan, ask, do it, and read every change back.

    With PLAN it does exactly that saved plan, or nothing when the host is no
    longer as it was; it asks only about what revert could not take back, as
    images that are rewritten. Becomes root through sudo, doas or run0
    (VMTUNE_SUDO says which). Stops at the first action that does not go well
    and says what was done and what was not; running it again goes on from
    there.
    """
    from reconciler.commands import apply as command  # noqa: PLC0415

    terminal = replace(chosen.terminal, json=as_json)
    return command.run(
        terminal, chosen.config, chosen.host, plan, allow=allow, yes=yes, approved=approved
    )


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="Print it as one JSON document.")
@click.option(
    "--html",
    metavar="FILE",
    shell_complete=completing.files,
    help="Also write it to FILE as a page with charts.",
)
@click.option("-q", "--quiet", is_flag=True, help="Print nothing; the exit code tells.")
@click.pass_obj
def status(chosen: Chosen, as_json: bool, html: str | None, quiet: bool) -> int:
    """Show whether all is as declared, and what it brought.

    First place by place what is wanted, there, and last written; then how the
    largest images lie on disk, what compresses, and when schedules ran. Exits
    with 0 when all is as declared, with 2 when something differs, with 7 when nothing
    differs that could be changed but something declared is refused, with 6 when only
    root could tell.
    """
    from reconciler.commands import status as command  # noqa: PLC0415

    terminal = replace(chosen.terminal, json=as_json, quiet=quiet or chosen.terminal.quiet)
    return command.run(terminal, chosen.config, chosen.host, html)


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="Print it as one JSON document.")
@click.pass_obj
def doctor(chosen: Chosen, as_json: bool) -> int:
    """Say what this host lacks, and the remedy.

    Each check ends in ok, warn or fail, or in ? when only root sees it. Without a
    configuration it looks at the images that `vmtune init` finds. Exits with 1 when
    something fails, else with 6 when something could not be seen.
    """
    from reconciler.commands import doctor as command  # noqa: PLC0415

    return command.run(replace(chosen.terminal, json=as_json), chosen.config, chosen.host)


@cli.command()
@click.argument("run", metavar="[RUN]", type=int, required=False, shell_complete=completing.runs)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--approved", metavar="TOKEN", default="", hidden=True,
              help="What was said yes to before root was asked for.")  # fmt: skip
@click.pass_obj
def revert(chosen: Chosen, run: int | None, yes: bool, approved: str) -> int:
    """Take a run back: the last one, or RUN of `vmtune history`.

    Shown and asked like any other plan. What someone else changed since is
    left alone, and said.
    """
    from reconciler.commands import revert as command  # noqa: PLC0415

    return command.run(chosen.terminal, run, yes=yes, approved=approved)


@cli.command()
@click.argument("subject", nargs=-1, metavar="CODE|KIND|PATH", shell_complete=completing.subjects)
@click.option("--list", "as_list", is_flag=True, help="List all codes and kinds.")
@click.pass_obj
def explain(chosen: Chosen, subject: tuple[str, ...], as_list: bool) -> int:
    """Say what a code (V101), a kind (nocow) or a path is about.

    PATH is that of an entry, or of a file below one: how it lies on disk, and
    what the plan says of it, with each code explained. A row of the plan can be
    named as it begins: `images ~/images/win11.raw`.
    """
    from reconciler.commands import explain as command  # noqa: PLC0415

    if as_list:
        return command.listed(chosen.terminal)
    if not subject:
        raise click.UsageError("name a code, a kind or a path, or say --list")
    return command.run(chosen.terminal, subject, chosen.config, chosen.host)


@cli.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_obj
def completion(chosen: Chosen, shell: str) -> int:
    """Print a completion script for a shell.

    To try it, in bash or zsh, and in fish:

    \b
      eval "$(vmtune completion bash)"
      vmtune completion fish | source
    """  # noqa: D301 - click reads the backspace itself
    from click.shell_completion import get_completion_class  # noqa: PLC0415

    found = get_completion_class(shell)
    if found:
        chosen.terminal.say(found(cli, {}, "vmtune", "_VMTUNE_COMPLETE").source())
    return exits.DONE
