"""Merged entries to items: cross-checks, defaults and positions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.config.check import missing
from reconciler.config.hosts import IDENTITY
from reconciler.engine.resource import Item
from reconciler.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from reconciler.config.node import Node
    from reconciler.errors import SourceLocation


DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "paths": {
        "nocow": False,
        "existing": "report",
        "subvolume": False,
        "compression": None,
        "allow": (),
    },
    "mounts": {"allow": ()},
    "defrag": {"scheduler": "auto", "allow": ()},
}


def item(section: str, path: str, entry: Node, quiet: tuple[str, ...] = ()) -> Item:
    """The entry with its defaults; ``quiet`` is what the file says for all of them."""
    identity = entry.keys[IDENTITY[section]]
    data = {key: _data(node) for key, node in entry.keys.items() if node is not identity}
    merged = {**DEFAULTS[section], **data}
    return Item(section, identity.text, path, merged, identity.origin, dict(_marks(entry)), quiet)


def conflicts(section: str, entry: Node) -> Iterator[ConfigError]:
    """What cannot hold together in one entry, also in one that is not yet complete."""
    yield from _CONFLICTS[section](entry)


def gaps(section: str, entry: Node) -> Iterator[ConfigError]:
    """What an entry lacks once all layers are merged."""
    origin = entry.keys[IDENTITY[section]].origin
    for key in {"mounts": ("options",), "defrag": ("schedule",)}.get(section, ()):
        if key not in entry.keys:
            yield ConfigError(origin, *missing(key))
    if section == "paths" and not entry.keys.keys() & {"nocow", "subvolume", "compression"}:
        message = f"nothing is declared for {entry.keys['path'].text!r}"
        yield ConfigError(
            origin, message, "write `nocow: true`, `subvolume: true` or `compression: none`"
        )


def schedule_problem(node: Node) -> ConfigError | None:
    """Say what is wrong with a schedule, wherever it is written."""
    from reconciler.formats import calendar  # noqa: PLC0415 - only where there is a schedule

    try:
        calendar.parse(node.text)
    except ValueError as error:
        return ConfigError(node.origin, f"schedule: {error}")
    return None


def _path_conflicts(entry: Node) -> Iterator[ConfigError]:
    nocow, compression = entry.get("nocow"), entry.get("compression")
    if nocow and nocow.value is True and compression:
        message = f"compression excludes nocow, set at {nocow.origin} (the kernel: EINVAL)"
        hint = "remove one of them; nocow files are never compressed"
        yield ConfigError(compression.origin, message, hint)


def _mount_conflicts(entry: Node) -> Iterator[ConfigError]:
    options = entry.get("options")
    given = options.keys if options else {}
    for one, other in (("compress", "compress-force"), ("noatime", "relatime")):
        if all(key in given and given[key].value is not False for key in (one, other)):
            message = f"{other} and {one}, set at {given[one].origin}, override each other"
            yield ConfigError(given[other].origin, message, "keep one of them")


def _defrag_conflicts(entry: Node) -> Iterator[ConfigError]:
    from reconciler.formats import calendar  # noqa: PLC0415

    scheduler, schedule = entry.get("scheduler"), entry.get("schedule")
    if not scheduler or scheduler.value != "cron" or not schedule or schedule_problem(schedule):
        return
    if not calendar.parse(schedule.text).is_cron:
        message = f"cron cannot read the schedule {schedule.text!r}"
        yield ConfigError(
            schedule.origin, message, "write five cron fields, or `scheduler: systemd`"
        )


_CONFLICTS = {
    "paths": _path_conflicts,
    "mounts": _mount_conflicts,
    "defrag": _defrag_conflicts,
}


def _data(node: Node) -> Any:
    plain = node.plain()
    return tuple(plain) if isinstance(plain, list) else plain


def _marks(entry: Node, above: str = "") -> Iterator[tuple[str, SourceLocation]]:
    for key, node in entry.keys.items():
        yield above + key, node.origin
        yield from _marks(node, f"{above}{key}.")
