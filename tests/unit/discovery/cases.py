"""A case file as what ``init`` and ``doctor`` see; see tests/unit/plan/decode.py for its answers.

``host`` names files of tests/unit/plan/hosts; nobodys-images.yaml there answers what only doctor
asks.

says: what it shows
host: [laptop, nobodys-images]
seen: [...]
config: |         doctor only: what is declared; without it, what init would find
init: |           the printed vmtune.yaml
doctor: |         the printed rows
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.config.load import load
from reconciler.discovery import subjects
from reconciler.discovery.doctor import examine
from reconciler.discovery.suggest import suggest
from reconciler.facts.host_view import HostView
from reconciler.report import discovery
from reconciler.report import discovery as doctor_report
from tests.unit.plan.decode import World, home_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.facts.discovered import Row, Suggestion


def suggested(world: World) -> Suggestion:
    return suggest("atlas", HostView(world.read))


def init_text(of: Suggestion, width: int = 80) -> str:
    return "".join(f"{line}\n" for line in discovery.suggestion(of, width))


def rows(case: Mapping[str, Any], world: World) -> tuple[Row, ...]:
    see = HostView(world.read)
    if "config" not in case:
        return examine(subjects.discovered(see), see)
    items = load(case["config"].encode(), "vmtune.yaml", host="atlas", home_of=home_of)
    return examine(subjects.declared(items, see), see)


def doctor_text(of: tuple[Row, ...], width: int = 80) -> str:
    return "".join(f"{line}\n" for line in doctor_report.health(of, width))
