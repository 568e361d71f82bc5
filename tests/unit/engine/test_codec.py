"""What a record says is built as it says, or is no record."""

import pytest

from reconciler.engine import document
from reconciler.formats.jsondata import FormatError
from reconciler.resources import registry  # noqa: F401 - brings the places
from reconciler.resources.images.places import Image

IMAGE = {"place": "Image", "path": "/vm", "name": "a.raw", "aim": "nocow"}


def test_a_place_comes_back():
    found = document.place(IMAGE)
    assert found == Image("/vm", "nocow", "a.raw")
    assert document.plain_place(found) == IMAGE


@pytest.mark.parametrize("name", ["_Chosen", "_DataBelow", "Place", "Fact", "", None, 3, "x" * 99])
def test_a_name_that_no_place_has_is_told(name):
    with pytest.raises(FormatError, match="unknown place"):
        document.place({**IMAGE, "place": name})
