"""Finding and reading vmtune.yaml, in the order the documentation gives."""

from __future__ import annotations

import os

from reconciler.host.people import caller, trust
from reconciler.host.refused import Refused
from reconciler.value import dataclass

_STDIN = "/dev/stdin"
_LARGEST = 1 << 20
"""More than a person writes: a device or a log given by mistake must not fill the memory."""


@dataclass(frozen=True, slots=True)
class Found:
    """The text of a configuration; ``shown`` is its name as messages print it."""

    path: str
    shown: str
    text: bytes


def short_hostname() -> str:
    """The name before the first dot, as in ``hosts:``."""
    return os.uname().nodename.partition(".")[0].lower()


class NoneFound(Refused):
    """There is no configuration anywhere, and none was named."""


def find(named: str | None, *, piped: bool = False) -> Found:
    """--config, $VMTUNE_CONFIG, ./vmtune.yaml, the caller's own, /etc: the first that is there.

    ``piped``: standard input may be named, for those who read it once and obey none of it.
    """
    if named == "":
        raise Refused("--config names no file", "is the variable empty that should name it?")
    if piped and named in {"-", _STDIN}:
        return _standard_input()
    if chosen := named or os.environ.get("VMTUNE_CONFIG"):
        return read(caller.absolute(_home(chosen)))
    looked = list(_candidates())
    for path in looked:
        if _is_there(path, "have it made readable to you, or name another one with --config"):
            return read(path)
    raise NoneFound(
        "no vmtune.yaml: looked for " + ", ".join(map(_tilde, looked)),
        f"`vmtune init -o {_tilde(looked[-2])}` writes one for this host, or name it with --config",
    )


def _standard_input() -> Found:
    try:
        with open(0, "rb", closefd=False) as file:
            return Found(_STDIN, _STDIN, file.read(_LARGEST + 1))
    except OSError as error:
        raise Refused(f"{_STDIN}: {error.strerror}") from None


def _home(path: str) -> str:
    """``~`` is the caller's home, also where a shell did not expand it, and under sudo."""
    user, slash, rest = path.partition("/")
    home = caller.home_of(user[1:]) if user.startswith("~") else None
    return path if home is None else f"{home}{slash}{rest}"


def _candidates() -> tuple[str, ...]:
    who = caller.caller()
    own = os.environ.get("XDG_CONFIG_HOME", "") if os.getuid() == who.uid else ""
    folder = own if os.path.isabs(own) else f"{who.home}/.config"
    here = () if os.geteuid() == 0 else (caller.absolute("vmtune.yaml"),)
    return (*here, f"{folder}/vmtune/vmtune.yaml", "/etc/vmtune/vmtune.yaml")


def _tilde(path: str) -> str:
    home = caller.caller().home
    return f"~{path[len(home) :]}" if path.startswith(f"{home}/") else path


def read(path: str) -> Found:
    """The text; Refused where it cannot be read, or (for root) where others may write it."""
    return Found(path, _tilde(path), trust.read(path, _LARGEST + 1))


_FOR_ONE = "it may say what holds for this host: have it made readable to you"


def overlay(found: Found, host: str) -> Found | None:
    """Return hosts/<host>.yaml beside the file, when there is one; else beside what it links to."""
    for folder in _folders(found):
        path = os.path.join(folder, f"{host}.yaml")
        if _is_there(path, _FOR_ONE):
            return read(path)
    return None


def _folders(found: Found) -> tuple[str, ...]:
    """The folders of overlays: one file has one answer, whichever of its names is used."""
    named = os.path.dirname(found.path)
    linked = os.path.dirname(os.path.realpath(found.path))
    return tuple(dict.fromkeys(os.path.join(each, "hosts") for each in (named, linked)))


def _is_there(path: str, hint: str) -> bool:
    """Refused where that may not be seen, which is not the same as absent, or under .yml."""
    misspelt = f"{path.removesuffix('.yaml')}.yml"
    try:
        if _exists(path):
            return True
        wrong = _exists(misspelt)
    except OSError as error:
        raise Refused(f"{path}: {error.strerror}", hint) from None
    if wrong:
        raise Refused(f"{misspelt} is not read", f"call it {os.path.basename(path)}")
    return False


def _exists(path: str) -> bool:
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def overlays(found: Found) -> dict[str, Found]:
    """Every hosts/*.yaml beside the file, by host name."""
    folder = next(filter(os.path.isdir, _folders(found)), _folders(found)[0])
    try:
        names = sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise Refused(f"{folder}: {error.strerror}", "have it made readable to you") from None
    hosts = [stem for stem, kind in map(os.path.splitext, names) if kind in {".yaml", ".yml"}]
    each = {host: overlay(found, host) for host in hosts}
    return {host: other for host, other in each.items() if other}
