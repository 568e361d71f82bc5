"""Paths as written, made absolute."""

from __future__ import annotations

import pytest

from reconciler.config.hosts import PathError, expand

HOMES = {"": "/home/me", "alice": "/srv//alice/", "daemon": "/", "odd": "relative"}

EXPANDED = {
    "/": "/",
    "//": "/",
    "/srv/vm": "/srv/vm",
    "//srv///vm/": "/srv/vm",
    "~": "/home/me",
    "~/": "/home/me",
    "~/libvirt/images": "/home/me/libvirt/images",
    "~alice": "/srv/alice",
    "~alice/vm": "/srv/alice/vm",
    "~daemon/vm": "/vm",
    "/srv/a ~b/c": "/srv/a ~b/c",
    "/srv/...": "/srv/...",
    "/srv/.hidden": "/srv/.hidden",
    "/srv/5$": "/srv/5$",
    "/srv/\u00fc": "/srv/\u00fc",
}
REFUSED = {
    "": ("the path is empty", "write an absolute path"),
    "srv/vm": ("'srv/vm' is not an absolute path", "write '/srv/vm' or '~/srv/vm'"),
    "./vm": ("not an absolute path", "write '/vm' or '~/vm'"),
    "../vm": ("not an absolute path", "begin with / or ~"),
    "/srv/../vm": ("component '..'", ""),
    "/srv/./vm": ("component '.'", ""),
    "~/..": ("component '..'", ""),
    "$HOME/vm": ("$HOME are not expanded", "write '~/vm'"),
    "${HOME}/vm": ("${HOME} are not expanded", "write '~/vm'"),
    "/home/$USER/vm": ("$USER are not expanded", "write '~/vm'"),
    "$HOMES/vm": ("$HOMES are not expanded", "write the path out"),
    "/srv/${A}": ("${A} are not expanded", "write the path out"),
    "/srv/$(id)": ("are not expanded", "write the path out"),
    "~nobody/vm": ("there is no user 'nobody'", "write the path out"),
    "~odd/vm": ("there is no user 'odd'", "write the path out"),
    "/" + "a" * 256: ("longer than Linux allows", ""),
    "/" + "\u00fc" * 128: ("longer than Linux allows", ""),
    "/a" * 2048: ("longer than Linux allows", ""),
}


@pytest.mark.parametrize("written", EXPANDED)
def test_expanded(written: str) -> None:
    assert expand(written, HOMES.get) == EXPANDED[written]


@pytest.mark.parametrize("written", REFUSED)
def test_refused(written: str) -> None:
    message, hint = REFUSED[written]
    with pytest.raises(PathError) as caught:
        expand(written, HOMES.get)
    assert message in str(caught.value)
    assert hint in caught.value.hint


def test_no_home_for_the_caller() -> None:
    with pytest.raises(PathError, match="there is no home directory for ~"):
        expand("~/vm", lambda _: None)
