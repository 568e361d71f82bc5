"""A case file as an Effect: plain values in, the values that status prints out.

says: what it shows
paths:                       as PathEffect; images and unseen as ImageLayout, paths below its own;
                             sharers as Sharers
before: {win11.qcow2: 48211} fragments at the first look, by name
filesystems, schedules:      as Compression and ScheduleRuns
text: {80: ...}              what is printed at that many columns ("80 ascii" in a C locale)
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from reconciler.engine.last_applied import Before, Seen
from reconciler.engine.resource import ScheduleRuns
from reconciler.facts.compression import Compression
from reconciler.facts.host import ServiceRun, Sharers
from reconciler.facts.images import ImageLayout, Layouts
from reconciler.report import bar as bars
from reconciler.report import status as status_report
from reconciler.report.standing import Effect, PathEffect

CASES = sorted((Path(__file__).parent / "cases").glob("*.yaml"))
MIB = 1 << 20


def load(file: Path) -> dict[str, Any]:
    """The case as written down."""
    found: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return found


def effect_of(case: dict[str, Any]) -> Effect:
    """The value that the case describes."""
    paths = [_path(data) for data in case.get("paths", ())]
    return Effect(
        tuple(paths),
        tuple(
            Compression(**{**data, "where": tuple(data["where"])})
            for data in case.get("filesystems", ())
        ),
        tuple(
            ScheduleRuns(**{"kind": "defrag", **data, "run": ServiceRun(**data.get("run", {}))})
            for data in case.get("schedules", ())
        ),
        Before(
            {
                ImageLayout(f"{paths[0].path}/{name}", 0).key(b""): Seen(
                    "", 0, 0, nocow=False, fragments=count, compressed=0, shared=0
                )
                for name, count in case.get("before", {}).items()
            }
        ),
    )


def _path(data: dict[str, Any]) -> PathEffect:
    if "hidden" in data:
        return PathEffect(data["name"], data["path"], None, data["hidden"])
    images, unseen = (
        tuple(_layout(data["path"], image) for image in data.get(key, ()))
        for key in ("images", "unseen")
    )
    size = sum(image.size for image in images)
    counts = data.get("count", len(images)), data.get("size", size)
    layouts = Layouts(images, *counts, unseen, len(unseen))
    who = data.get("sharers")
    sharers = who and Sharers(**{**who, "subvolumes": tuple(who["subvolumes"])})
    uuid = data.get("uuid", "")
    return PathEffect(data["name"], data["path"], layouts, uuid=uuid, sharers=sharers)


def _layout(folder: str, data: dict[str, Any]) -> ImageLayout:
    """Each key but the name is a field of ImageLayout; these five are in MiB."""
    sizes = ("size", "data", "compressed", "shared", "both")
    fields = {key: value * MIB if key in sizes else value for key, value in data.items()}
    return ImageLayout(path=f"{folder}/{fields.pop('name')}", **fields)


def printed(case: dict[str, Any], columns: str) -> str:
    """What status prints of it."""
    width, _, locale = columns.partition(" ")
    style = bars.style(lambda text, _part: text, unicode=locale != "ascii")
    return "\n".join(status_report.effect(effect_of(case), int(width), style)) + "\n"
