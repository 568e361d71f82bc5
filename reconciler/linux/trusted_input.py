"""Files that root obeys: found in the documented order, and nobody else had a hand in them."""

from __future__ import annotations

import errno
import grp
import os
import pwd
import stat
from contextlib import suppress
from shlex import quote

from reconciler.errors import HostError, Misused
from reconciler.formats.paths import at_and_above, parent
from reconciler.linux import users
from reconciler.value import Value


def read_trusted(path: str, largest: int) -> bytes:
    """The file's first ``largest`` bytes; HostError where it cannot be read, or obeyed."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ENOENT and os.path.islink(path):
            raise HostError(
                f"{path} is a link to {os.path.realpath(path)}, and that file is not there",
                "have the link lead to where the file is now",
            ) from None
        raise HostError(f"{path}: {error.strerror}") from None
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        os.close(fd)  # before fdopen(), which refuses a directory with an error of its own
        raise HostError(f"{path} is not a file")
    with os.fdopen(fd, "rb") as file:
        _trust(path, status)
        return file.read(largest)


def _trust(path: str, status: os.stat_result) -> None:
    """As root, refuse a file that others could have written, or put in its place.

    ``status`` is that of the opened file, which no name can change any more.
    All folders above it count as well, by the path as given and by the one that links lead to:
    who may write one of them decides what ``path`` leads to (as with StrictModes of
    sshd_config(5)).
    """
    if not users.is_root():
        return
    _check(path, path, status)
    names = os.path.abspath(path), os.path.realpath(path)
    for folder in dict.fromkeys(each for name in names for each in at_and_above(parent(name))):
        status = os.stat(folder)
        # Sticky, as /tmp is: only the owner of an entry renames or removes it.
        if not status.st_mode & stat.S_ISVTX or status.st_uid not in _allowed():
            _check(path, folder, status)


def _allowed() -> set[int]:
    return {0, users.caller().uid}


def _check(path: str, at: str, status: os.stat_result) -> None:
    whose = path if at == path else f"{path}: {at}"
    if status.st_uid not in _allowed():
        hint = "keep the file where only root or you may write, such as /etc/vmtune"
        if at == path:
            hint = f"chown root {quote(at)}"
        raise HostError(f"{whose} belongs to another user (uid {status.st_uid})", hint)
    others = status.st_mode & stat.S_IWOTH
    if others or (status.st_mode & stat.S_IWGRP and not _private(at, status.st_gid)):
        raise HostError(
            f"{whose} may be written by others (mode {stat.S_IMODE(status.st_mode):04o})",
            f"chmod go-w {quote(at)}",
        )


def _private(at: str, gid: int) -> bool:
    """A group of nobody but root and the caller, as useradd(8) makes one for each user.

    Where a umask of 002 goes with that, all files are writable by group. With
    an ACL the same bits are its mask, and say nothing about the group.
    """
    if "system.posix_acl_access" in os.listxattr(at):
        return False
    members = {entry.pw_name for entry in pwd.getpwall() if entry.pw_gid == gid}
    with suppress(KeyError):
        members.update(grp.getgrgid(gid).gr_mem)
    return members <= {"root", users.caller().name}


STANDARD_INPUT = ("-", "/dev/stdin")
"""Names of a configuration that is a draft: who reads it does nothing to the host."""

_LARGEST = 1 << 20
"""More than a person writes: a device or a log given by mistake must not fill the memory."""


class Found(Value):
    """The text of a configuration; ``shown`` is its name as messages print it.

    ``path`` is "" for a draft that stands nowhere.
    """

    path: str
    shown: str
    text: bytes
    is_draft: bool = False


def short_hostname() -> str:
    """The name before the first dot, as in ``hosts:``."""
    return os.uname().nodename.partition(".")[0].lower()


class NoneFound(HostError):
    """There is no configuration anywhere, and none was named."""


def find(named: str | None, stands_at: str | None = None, *, drafts: bool = False) -> Found:
    """--config, $VMTUNE_CONFIG, ./vmtune.yaml, the caller's own, /etc: the first that is there.

    ``drafts``: standard input may be named, for those who read it once and obey none of it.
    It is taken as if it stood at the path ``stands_at``, which need not be there.
    """
    if named == "":
        raise HostError("--config names no file", "is the variable empty that should name it?")
    if drafts and named in STANDARD_INPUT:
        return _draft(named, stands_at)
    if stands_at is not None:
        raise Misused("--as PATH says where a draft stands", "name the draft: --config - --as PATH")
    if chosen := named or os.environ.get("VMTUNE_CONFIG"):
        return read(users.absolute(chosen))
    looked = list(_candidates())
    for path in looked:
        if _is_there(path):
            return read(path)
    shown = [users.tilde(path) for path in looked]
    raise NoneFound(
        f"no vmtune.yaml: looked for {', '.join(shown)}",
        f"`vmtune init -o {shown[-2]}` writes one for this host, or name it with --config",
    )


def _draft(named: str, stands_at: str | None) -> Found:
    if stands_at == "":
        raise HostError("--as names no file", "is the variable empty that should name it?")
    path = users.absolute(stands_at) if stands_at else ""
    # It need not be there, nor be for this user to see.
    if os.path.exists(path) and not os.path.isfile(path):
        raise HostError(f"--as {path}: it is not a file", "name the file that the draft is for")
    try:
        with open(0, "rb", closefd=False) as file:
            text = file.read(_LARGEST + 1)
    except OSError as error:
        raise HostError(f"standard input: {error.strerror}") from None
    return Found(path, users.tilde(path) or named, text, is_draft=True)


def _candidates() -> tuple[str, ...]:
    who = users.caller()
    own = os.environ.get("XDG_CONFIG_HOME", "") if os.getuid() == who.uid else ""
    folder = own if os.path.isabs(own) else f"{who.home}/.config"
    here = () if users.is_root() else (users.absolute("vmtune.yaml"),)
    return (*here, f"{folder}/vmtune/vmtune.yaml", "/etc/vmtune/vmtune.yaml")


def found_by_root() -> str:
    """Return the configuration that the caller's root finds unnamed: sudo drops the environment."""
    own = f"{users.caller().home}/.config/vmtune/vmtune.yaml"
    return own if os.path.lexists(own) else "/etc/vmtune/vmtune.yaml"


def read(path: str) -> Found:
    """The text; HostError where it cannot be read, or (for root) where others may write it."""
    return Found(path, users.tilde(path), read_trusted(path, _LARGEST + 1))


def short_name(host: str) -> str:
    """Return the name by which a host is read: before the first dot, in lower case; HostError."""
    name = host.partition(".")[0].lower()
    if not name or "/" in name or "\0" in name:
        raise HostError(
            f"--host {host!r} is the name of no host" if host else "--host names no host",
            "a short host name, such as `hostname -s` prints",
        )
    return name


def overlay(found: Found, host: str) -> Found | None:
    """Return hosts/<host>.yaml beside the file, when there is one; else beside what it links to.

    Raises HostError where it is there under a name that no host reads.
    """
    hint = "it may say what holds for this host: have it made readable to you"
    for folder in _configfile_folders(found):
        path = os.path.join(folder, f"{host}.yaml")
        if _exists(path, hint):
            return read(path)
    for wrong in misnamed(found):
        if wrong.host == host:
            raise HostError(f"{wrong.shown}: no host reads this file", wrong.hint)
    return None


class Misnamed(Value):
    """A file in hosts/ that no host reads, and the host that it must be for."""

    path: str
    host: str

    @property
    def shown(self) -> str:
        """Its name as messages print it."""
        return users.tilde(self.path)

    @property
    def hint(self) -> str:
        """What to do about it."""
        right = f"{self.host}.yaml"
        if os.path.lexists(os.path.join(os.path.dirname(self.path), right)):
            return f"{right} is there already: put the two together"
        return f"call it {right}"


def misnamed(found: Found) -> tuple[Misnamed, ...]:
    """Find the files in hosts/ that no host reads: whole host names, upper case, .yml.

    A folder that may not be listed is not looked into.
    """
    wrong: list[Misnamed] = []
    for folder in _configfile_folders(found):
        with suppress(OSError):
            for name in sorted(os.listdir(folder)):
                host = overlay_host(name)
                if host and name != f"{host}.yaml":
                    wrong.append(Misnamed(os.path.join(folder, name), host))
    return tuple(wrong)


def overlay_host(name: str) -> str:
    """Return the host that a file in hosts/ is meant for, by its name; "" for other files."""
    stem, kind = os.path.splitext(name)
    if name.startswith(".") or kind.lower() not in {".yaml", ".yml"}:
        return ""
    return stem.partition(".")[0].lower()


def base_of(path: str, config: str | None) -> Found | None:
    """Return the configuration of which a file is an overlay: one beside the folder hosts/.

    That is ``config`` where it lies there, else vmtune.yaml; None where there is neither.
    """
    folder = os.path.dirname(path)
    if os.path.basename(folder) != "hosts":
        return None
    if config and config not in STANDARD_INPUT:
        named = find(config)
        if folder in _configfile_folders(named):
            return named
    beside = os.path.join(os.path.dirname(folder), "vmtune.yaml")
    return read(beside) if os.path.isfile(beside) else None


def _configfile_folders(found: Found) -> tuple[str, ...]:
    """The folders of overlays: one file has one answer, whichever of its names is used.

    There is none for a draft that stands nowhere.
    """
    if not found.path:
        return ()
    named = os.path.dirname(found.path)
    linked = os.path.dirname(os.path.realpath(found.path))
    return tuple(dict.fromkeys(os.path.join(each, "hosts") for each in (named, linked)))


def _is_there(path: str) -> bool:
    """HostError where that may not be seen, or where it is there under .yml."""
    hint = "have it made readable to you, or name another one with --config"
    if _exists(path, hint):
        return True
    misspelt = f"{path.removesuffix('.yaml')}.yml"
    if _exists(misspelt, hint):
        raise HostError(
            f"{users.tilde(misspelt)}: vmtune does not read this file",
            f"call it {os.path.basename(path)}",
        )
    return False


def _exists(path: str, hint: str) -> bool:
    """HostError where that may not be seen, which is not the same as absent."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise HostError(f"{path}: {error.strerror}", hint) from None
    return True


def overlays(found: Found) -> dict[str, Found]:
    """Every hosts/*.yaml beside the file that a host reads, by host name."""
    hosts: list[str] = []
    for folder in _configfile_folders(found):
        try:
            names = os.listdir(folder)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise HostError(f"{folder}: {error.strerror}", "have it made readable to you") from None
        hosts += [host for name in names if name == f"{(host := overlay_host(name))}.yaml"]
    return {host: other for host in sorted(set(hosts)) if (other := overlay(found, host))}
