"""How items lie to each other: looked up, and searched for one by one, the same."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reconciler.engine.item import Item, Items
from reconciler.errors import SourceLocation

names = st.sampled_from(["a", "b", "a-", "a.", "a0", "\u00fc", "~"])
paths = st.lists(names, min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts))


def item(path: str, number: int) -> Item:
    return Item("paths", path, path, {}, SourceLocation("f", number, 1), {})


@given(st.lists(paths | st.just("/"), max_size=12), paths | st.just("/"))
def test_looked_up_and_searched_for(found: list[str], path: str) -> None:
    items = Items(item(each, number) for number, each in enumerate(found))
    assert items.at(path) == tuple(one for one in items if one.path == path)
    assert items.below(path) == tuple(one for one in items if one.path.startswith(f"{path}/"))
    assert items.above(path) == tuple(one for one in items if path.startswith(f"{one.path}/"))
