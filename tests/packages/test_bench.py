"""The figures of docs/performance.md can be taken anew: pip installs what is measured."""

from tests import tiers
from tests.btrfs import sandbox
from tests.checkout import make
from tests.documents import as_typed


def test_a_row_is_measured(tmp_path):
    tiers.require("btrfs", sandbox.missing(), sandbox.APT_PACKAGES)
    said = make(as_typed("make bench"), f"BENCH={tmp_path}", "ROWS=version explain").stdout
    assert said.count(" aim ") == 2, said
    assert (tmp_path / "table.md").read_text().count("\n|") > 2
