"""Whatever is said of the kernel is held to somebody else's word, or is found here."""

from __future__ import annotations

import ast
import functools
import re
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.report.codes import CODES
from tests.oracles import ORACLES, STATUS, UNJUDGED

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
TIERS = ("btrfs", "host", "vm")
_WITHOUT_A_CODE = {"Note": 1, "Summary": 9, "NotApplicable": 9}
"""What makes a sentence, and at which place a code may stand among its arguments."""


_WHO_SEES_IT = {"rights.hidden", "hidden", "denied"}
"""They add who sees it, or was denied it, to what they are given."""


@functools.cache
def _marks() -> tuple[tuple[Path, str, list[str]], ...]:
    """Every ``@oracle(by, *claims)`` of a test, with its file."""
    found = []
    for tier in TIERS:
        for path in sorted((ROOT / "tests" / tier).rglob("test_*.py")):
            for node in ast.parse(path.read_text()).body:
                for mark in getattr(node, "decorator_list", ()):
                    if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "oracle":
                        by, *claims = (ast.literal_eval(each) for each in mark.args)
                        found.append((path, by, claims))
    return tuple(found)


def _judged() -> set[str]:
    return {claim for _, _, claims in _marks() for claim in claims}


@functools.cache
def _sentences() -> dict[str, set[str]]:
    """The sentences without a code that kinds and the engine say, each with where it stands."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in sorted((ROOT / "reconciler").rglob("*.py")):
        text = path.read_text()
        if not any(f"{name}(" in text for name in _WITHOUT_A_CODE):
            continue
        module = ast.parse(text)
        scopes = [n for n in ast.walk(module) if isinstance(n, ast.FunctionDef)]
        for call in ast.walk(module):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name):
                place = _WITHOUT_A_CODE.get(call.func.id)
                named = any(word.arg == "code" for word in call.keywords)
                if place and call.args and not named and len(call.args) <= place:
                    around = [s for s in scopes if s.lineno <= call.lineno <= (s.end_lineno or 0)]
                    for said in _texts(call.args[0], *around[::-1], module):
                        found[said].add(f"{path.relative_to(ROOT)}:{call.lineno}")
    return found


def _texts(node: ast.expr, *scopes: ast.AST) -> Iterator[str]:
    """What an expression may be, as far as it is written out: {} for what is filled in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value:
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        parts = node.values
        yield "".join(p.value if isinstance(p, ast.Constant) else "{}" for p in parts)
    elif isinstance(node, ast.IfExp):
        yield from _texts(node.body, *scopes)
        yield from _texts(node.orelse, *scopes)
    elif isinstance(node, ast.Call) and ast.unparse(node.func) in _WHO_SEES_IT:
        yield from _texts(node.args[0], *scopes)
    elif isinstance(node, ast.Name):
        nearest = next((set_there for s in scopes if (set_there := _set_in(s, node.id))), ())
        for value in nearest:
            yield from _texts(value, *scopes)


def _set_in(scope: ast.AST, name: str) -> list[ast.expr]:
    return [
        each.value
        for each in ast.walk(scope)
        if isinstance(each, ast.Assign)
        and not isinstance(each.value, ast.Name)
        and name in {t.id for t in each.targets if isinstance(t, ast.Name)}
    ]


def test_every_code_is_judged_or_claims_nothing():
    assert set(CODES) - _judged() - set(UNJUDGED) == set()


def test_every_sentence_without_a_code_is_judged_or_claims_nothing():
    known = _judged() | set(UNJUDGED)
    assert {text: at for text, at in _sentences().items() if text not in known} == {}


def test_nothing_is_judged_that_is_not_said():
    said = {*CODES, *_sentences(), *STATUS}
    assert (_judged() | set(UNJUDGED)) - said == set()
    assert set(STATUS) - _judged() == set()
    assert _judged() & set(UNJUDGED) == set()


def test_a_judge_is_asked_where_it_is_named():
    for path, by, claims in _marks():
        assert claims, path
        assert re.search(ORACLES[by], path.read_text()), f"{path} never asks {by}"


def test_every_judge_is_named():
    assert {by for _, by, _ in _marks()} == set(ORACLES)
