"""What is said of what the kernel shows to root alone: to a user, and to root who was denied."""

from __future__ import annotations

import pytest

from reconciler.engine.last_applied import Before
from reconciler.facts import diagnostics, stub
from reconciler.facts.host_view import HostView
from reconciler.facts.tree import NameList
from reconciler.report import defrag, status
from reconciler.resources.defrag.ranges import Found

TO_ROOT = "vmtune, as root, was not allowed to {} (SELinux, a container or another policy)"


def seen_by(*, root: bool) -> HostView:
    def read(fact: object, _: HostView) -> bool:
        assert fact == diagnostics.AsRoot()
        return root

    return HostView(read)


def test_a_user_is_told_who_sees_it_and_what_apply_does():
    host = seen_by(root=False)
    assert diagnostics.hidden("see it", host) == "only root can see it"
    assert diagnostics.hidden("see it", host, "checks") == "only root can see it; `apply` checks"


def test_root_is_told_what_denied_it_and_nothing_is_promised():
    host, told = seen_by(root=True), TO_ROOT.format("see it")
    assert diagnostics.hidden("see it", host) == told
    assert (
        diagnostics.hidden("see it", host, "checks") == f"{told}; `apply` is not allowed to either"
    )


@pytest.mark.parametrize("as_root", [False, True])
def test_a_stub_has_a_remedy_that_the_caller_can_take(as_root):
    hint = stub.refusal("/srv", None, as_root=as_root).hint
    assert ("with sudo" in hint) != as_root
    assert (TO_ROOT.format("see where the subvolume is now") in hint) == as_root


def test_how_images_lay_before_is_hidden_from_root_in_other_words():
    what = "see how the images lay before vmtune's runs"
    assert status.before_hidden(Before()) == ""
    assert status.before_hidden(Before(is_hidden=True)) == f"Only root can {what}."
    told = f"V{TO_ROOT.format(what)[1:]}."
    assert status.before_hidden(Before(is_hidden=True, as_root=True)) == told


def test_defrag_names_who_may_open_a_file():
    found = Found("/srv", (), 0, (), (), (), NameList(1, ("a.raw",)), "off", 0, 0.0)
    assert "a.raw: you may not open it; root may" in " ".join(defrag.found(found, 200))
    told = " ".join(defrag.found(found, 200, as_root=True))
    assert f"a.raw: {TO_ROOT.format('open it')}" in told
