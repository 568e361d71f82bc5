"""The pictures of the README can be drawn anew, whatever the output looks like by now."""

import re
from xml.etree import ElementTree as ET

from tests.checkout import make
from tests.documents import as_typed


def test_they_are_drawn_from_a_real_run(tmp_path):
    make(as_typed("make pictures"), f"INTO={tmp_path}")
    plan, status = (tmp_path / f"{name}.svg" for name in ("plan", "status"))
    for file in (plan, status):
        ET.fromstring(file.read_text())  # noqa: S314 - made a moment ago
        words = re.sub("<[^>]*>", "", file.read_text())
        assert "host atlas" in words
        assert "(pid " not in words
    words = re.sub("<[^>]*>", "", plan.read_text())
    assert re.search(r"verified: (\d+) of \1 ", words)
    assert "win11.qcow2" in re.sub("<[^>]*>", "", status.read_text())
