"""Whatever is said of the kernel is held to somebody else's word, or is found here."""

from __future__ import annotations

import ast
import functools
import re
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.commands.explain import CODES
from tests.oracles import ORACLES, STATUS, UNJUDGED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT = Path(__file__).parents[2]
TIERS = ("btrfs", "host", "vm")
_WITHOUT_A_CODE = {"Note": 1, "Summary": 9, "NotApplicable": 9}
"""What makes a sentence, and at which place a code may stand among its arguments."""
_WITH_A_CODE = {"Note": 0, "Refusal": 0, "_Why": 0, "Finding": 2, "Row": 2}
"""What makes a sentence with a code, and at which place the sentence stands."""


_WHO_SEES_IT = {"diagnostics.hidden", "hidden", "denied"}
"""They add who sees it, or was denied it, to what they are given."""


@functools.cache
def _marks() -> tuple[tuple[Path, str, str, list[str]], ...]:
    """Every ``@oracle(by, *claims)``, with the file and the name of its test."""
    found = []
    for tier in TIERS:
        for path in sorted((ROOT / "tests" / tier).rglob("test_*.py")):
            for node in ast.parse(path.read_text()).body:
                for mark in getattr(node, "decorator_list", ()):
                    if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "oracle":
                        by, *claims = (ast.literal_eval(each) for each in mark.args)
                        found.append((path, node.name, by, claims))
    return tuple(found)


def _judged() -> set[str]:
    return {claim for *_, claims in _marks() for claim in claims}


def _coded_claims(claims: Iterable[str]) -> set[str]:
    """The codes among claims, also of those that hold one sentence of several."""
    return {code for claim in claims if (code := claim.partition(": ")[0]) in CODES}


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
        for each in (scope.body if isinstance(scope, ast.Module) else ast.walk(scope))
        if isinstance(each, ast.Assign)
        and not isinstance(each.value, ast.Name)
        and name in {t.id for t in each.targets if isinstance(t, ast.Name)}
    ]


@functools.cache
def _of_codes() -> dict[str, set[str]]:
    """The sentences that have a code, by code, as far as they are written where they are made.

    A sentence that only a variable holds, of which a function says several, goes by its code.
    """
    found: dict[str, set[str]] = defaultdict(set)
    for path in sorted((ROOT / "reconciler").rglob("*.py")):
        module = ast.parse(path.read_text())
        for scope in (node for node in ast.walk(module) if isinstance(node, ast.FunctionDef)):
            calls = [call for call in ast.walk(scope) if isinstance(call, ast.Call)]
            said = [pair for call in calls if (pair := _coded(call))]
            for code, text in said:
                is_shared = isinstance(text, ast.Name) and _uses(scope, text.id) > 1
                found[code] |= set() if is_shared else set(_texts(text, scope, module))
    return found


def _coded(call: ast.Call) -> tuple[str, ast.expr] | None:
    """The code among the arguments of what makes a sentence, and the text."""
    place = _WITH_A_CODE.get(ast.unparse(call.func))
    values = [*call.args, *(word.value for word in call.keywords)]
    codes = [v.value for v in values if isinstance(v, ast.Constant) and v.value in CODES]
    if place is None or not codes or len(call.args) <= place:
        return None
    return codes[0], call.args[place]


def _uses(scope: ast.AST, name: str) -> int:
    names = (node for node in ast.walk(scope) if isinstance(node, ast.Name))
    return sum(each.id == name and isinstance(each.ctx, ast.Load) for each in names)


def _claims(code: str) -> set[str]:
    """What is claimed of sentences of a code: ``V102: data is kept`` holds what says so."""
    known = _judged() | set(UNJUDGED)
    return {claim.partition(": ")[2] for claim in known if claim.startswith(f"{code}: ")}


def test_every_code_is_judged_or_claims_nothing():
    assert set(CODES) - _coded_claims(_judged() | set(UNJUDGED)) == set()


def test_of_several_sentences_of_a_code_each_is_judged_or_claims_nothing():
    """Or else a code would count as judged that says six things, of which one was tried."""
    left = {
        code: missing
        for code, said in _of_codes().items()
        if len(said) > 1 and code not in UNJUDGED
        if (missing := {text for text in said if not any(c in text for c in _claims(code))})
    }
    assert left == {}


def test_every_sentence_without_a_code_is_judged_or_claims_nothing():
    known = _judged() | set(UNJUDGED)
    assert {text: at for text, at in _sentences().items() if text not in known} == {}


def test_nothing_is_judged_that_is_not_said():
    parts = {f"{code}: {c}" for code in CODES for c in _claims(code) if _says(code, c)}
    said = {*CODES, *_sentences(), *STATUS, *parts}
    assert (_judged() | set(UNJUDGED)) - said == set()
    assert set(STATUS) - _judged() == set()
    assert _judged() & set(UNJUDGED) == set()


def _says(code: str, claim: str) -> bool:
    return any(claim in text for text in _of_codes()[code])


def test_a_judge_is_asked_where_it_is_named():
    for path, test, by, claims in _marks():
        assert claims, path
        asked = re.search(ORACLES[by], _with_all_it_names(path, test))
        assert asked, f"{path}: {test} never asks {by}"


def _with_all_it_names(path: Path, test: str) -> str:
    """The source of a test, and of what its module defines and the test, or that again, names."""
    text = path.read_text()
    parts = {name: node for node in ast.parse(text).body for name in _defined(node)}
    pending, found = [test], {}
    while pending:
        name = pending.pop()
        if name in parts and name not in found:
            found[name] = ast.get_source_segment(text, parts[name]) or ""
            pending += re.findall(r"\w+", found[name])
    return "\n".join(found.values())


def _defined(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else ()
    return [each.id for each in targets if isinstance(each, ast.Name)]


def test_every_judge_is_named():
    assert {by for _, _, by, _ in _marks()} == set(ORACLES)
