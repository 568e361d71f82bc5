"""The trees of a Btrfs (linux/btrfs_tree.h), item by item: subvolumes and quota groups. Root only.

What is read is as of the last commit.

A snapshot shows an empty stub in place of a subvolume inside (facts.stub): ``whither`` tells what
the stub stands for.
"""

from __future__ import annotations

import errno
import os
import struct
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from reconciler.errors import HostError
from reconciler.facts.host import EXCLUSIVE, REFERENCED, Limit, Quota
from reconciler.facts.mountable import DIRECTORY, MISSING, OTHER, SUBVOLUME, TOP, Entry
from reconciler.facts.stub import Stub, refusal
from reconciler.linux import btrfs, files, inode, process, syscalls, users
from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


_SEARCH_V2 = syscalls.number(syscalls.READ | syscalls.WRITE, 0x94, 17, 112)

_KEY = struct.Struct("=7Q3I36xQ")  # struct btrfs_ioctl_search_key up to nr_items, and buf_size

_HEADER = struct.Struct("=8xQQII")  # objectid, offset, type, length of an item

_FLAGS = struct.Struct("=64xQ")  # those of struct btrfs_inode_item

ROOT_TREE, QUOTA_TREE = 1, 8  # BTRFS_ROOT_TREE_OBJECTID, BTRFS_QUOTA_TREE_OBJECTID

INODE_ITEM, DIR_ITEM, EXTENT_DATA = 1, 84, 108  # BTRFS_*_KEY

ROOT_ITEM, ROOT_BACKREF = 132, 144

_LAST_KIND = 255

_ANY = 2**64 - 1

EVERY = (0, _ANY)
"""The range of all objects."""

NODATASUM, NODATACOW = 1, 2  # BTRFS_INODE_NODATASUM, BTRFS_INODE_NODATACOW

IMMUTABLE, APPEND = 1 << 6, 1 << 7  # BTRFS_INODE_IMMUTABLE, BTRFS_INODE_APPEND

SEALED = 1 << 32  # BTRFS_INODE_RO_VERITY, in the upper half

_REPLY, _ONE = 1 << 16, 1 << 9


def attributes(fd: int, numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Each inode's number with its BTRFS_INODE_* flags; SEALED among them for fs-verity.

    One that is not in the tree is left out.
    """
    buffer = bytearray(_KEY.size + _ONE)
    for number in numbers:
        key = (0, number, number, 0, _ANY, 0, _ANY, INODE_ITEM, INODE_ITEM, 1, _ONE)
        _KEY.pack_into(buffer, 0, *key)
        if _KEY.unpack_from(syscalls.call(fd, _SEARCH_V2, buffer))[9]:
            yield number, _FLAGS.unpack_from(buffer, _KEY.size + _HEADER.size)[0]


def items_of(fd: int, tree: int, number: int, kind: int) -> Iterator[tuple[int, bytes]]:
    """Offset and data of the items of one type that an object has; tree 0 is that of ``fd``."""
    for _, offset, _, data in items(fd, tree, (number, number), (kind, kind)):
        yield offset, data


def items(
    fd: int, tree: int, numbers: tuple[int, int], kinds: tuple[int, int]
) -> Iterator[tuple[int, int, int, bytes]]:
    """Number, offset, type and data of the items of these objects.

    Types only bound the first and the last key.
    """
    (number, last), (kind, most), offset = numbers, kinds, 0
    buffer = bytearray(_KEY.size + _REPLY)
    while True:
        key = (tree, number, last, offset, _ANY, 0, _ANY, kind, most, 2**32 - 1, _REPLY)
        _KEY.pack_into(buffer, 0, *key)
        count, at = _KEY.unpack_from(syscalls.call(fd, _SEARCH_V2, buffer))[9], _KEY.size
        for _ in range(count):
            number, offset, kind, length = _HEADER.unpack_from(buffer, at)
            at += _HEADER.size
            yield number, offset, kind, bytes(buffer[at : at + length])
            at += length
        if not count or (number, kind, offset) >= (last, most, _ANY):
            return
        # The next key: they sort by object, then type, then offset.
        if offset < _ANY:
            offset += 1
        elif kind < _LAST_KIND:
            kind, offset = kind + 1, 0
        else:
            number, kind, offset = number + 1, 0, 0


_REFS = 216  # offsetof(struct btrfs_root_item, refs), 32 bits

_PARENT_UUID = 263  # offsetof(struct btrfs_root_item, parent_uuid)

_ENTRY = struct.Struct("=QBQQHHB")
"""struct btrfs_dir_item: key (object, type, offset), transid, data_len, name_len, type."""

_REFERENCE = struct.Struct("=QQH")  # struct btrfs_root_ref: dirid, sequence, name_len

STUB_INODE = 2  # BTRFS_EMPTY_SUBVOL_DIR_OBJECTID


def snapshots(fd: int, of: bytes) -> list[int]:
    """Find the ids of what was snapshotted from the subvolume with UUID ``of``, the oldest first.

    PermissionError for others than root. A deleted snapshot has no references left; its item
    stays until the cleaner has been there.
    """
    return [
        identifier
        for identifier, _, kind, item in items(fd, ROOT_TREE, EVERY, (ROOT_ITEM, ROOT_ITEM))
        if kind == ROOT_ITEM
        and item[_PARENT_UUID : _PARENT_UUID + 16] == of
        and any(item[_REFS : _REFS + 4])
    ]


def is_stub(path: str, status: os.stat_result) -> bool:
    """Whether what is at a path is such a stub: other filesystems have an inode 2, too."""
    return status.st_ino == STUB_INODE and syscalls.filesystem_type(path) == "btrfs"


def whither(path: str) -> Stub:
    """Find the subvolume that a stub stands for; PermissionError for others than root.

    Read from the tree as it was committed, so the kernel is told to commit first. It refuses
    that after an error (EROFS); then what was committed before that counts.
    """
    parent, name = os.path.split(path)
    with inode.directory(parent) as fd:
        with suppress(OSError):
            btrfs.commit(fd)
        aim, found = os.fsencode(name), _entries(fd, 0, os.fstat(fd).st_ino)
        named = (target for target, key, _, each in found if key == ROOT_ITEM and each == aim)
        identifier = next(named, 0)
        return Stub(identifier, path_of(fd, identifier) if identifier else "")


def stub_refused(path: str) -> HostError:
    """What to raise where something is to be done at a stub: which one it is, and what to do."""
    try:
        found = whither(path)
    except PermissionError:
        found = None
    told = refusal(path, found, as_root=users.is_root())
    return HostError(told.text, told.hint)


def path_of(fd: int, identifier: int) -> str:
    """The path of a subvolume from the top level; "" where it is in no directory (deleted)."""
    names: list[str] = []
    while identifier != TOP:
        found = next(items_of(fd, ROOT_TREE, identifier, ROOT_BACKREF), None)
        if found is None:
            return ""
        identifier, data = found
        directory, _, length = _REFERENCE.unpack_from(data)
        name = data[_REFERENCE.size : _REFERENCE.size + length]
        names.insert(0, _folder(fd, identifier, directory) + os.fsdecode(name))
    return "/".join(names)


def _folder(fd: int, subvolume: int, directory: int) -> str:
    """The path of a directory in its subvolume, with a slash at its end; "" for its root."""
    if directory == btrfs.FIRST_INODE:
        return ""
    buffer = bytearray(struct.pack("=2Q", subvolume, directory).ljust(4096, b"\0"))
    request = syscalls.number(syscalls.READ | syscalls.WRITE, 0x94, 18, len(buffer))  # INO_LOOKUP
    return os.fsdecode(bytes(syscalls.call(fd, request, buffer)[16:]).split(b"\0", 1)[0])


_DIRECTORY_TYPE, _LINK_TYPE = 2, 7  # BTRFS_FT_DIR, BTRFS_FT_SYMLINK


def subvolume_named(on: str, path: str) -> Entry:
    """Find what a path from the top level leads to, on the filesystem mounted at ``on``."""
    names = [os.fsencode(name) for name in path.split("/") if name]
    with _opened(on) as fd:
        found = _walk(fd, names)
        if found.kind == SUBVOLUME:
            return found
        with suppress(OSError):  # what was made just now lies beside the trees
            btrfs.commit(fd)
        return _walk(fd, names)


def subvolume_path(on: str, identifier: int) -> str:
    """Return the path of a subvolume from the top level; "" where there is none of that id."""
    if identifier == TOP:
        return "/"
    with _opened(on) as fd:
        found = path_of(fd, identifier)
    return f"/{found}" if found else ""


def default_identifier(on: str) -> int:
    """Return the id of the subvolume that is mounted where no option names one."""
    with _opened(on) as fd:
        return default_subvolume(fd)[0]


def default_subvolume(fd: int) -> tuple[int, str]:
    """Return the id and the path of what a mount without subvol= shows; PermissionError.

    ``btrfs subvolume set-default`` wrote it into the tree of roots; else it is TOP.
    """
    found = _entries(fd, ROOT_TREE, 6)  # BTRFS_ROOT_TREE_DIR_OBJECTID
    identifier = next((target for target, _, _, name in found if name == b"default"), TOP)
    return identifier, path_of(fd, identifier)


@contextmanager
def _opened(on: str) -> Iterator[int]:
    """Hold a descriptor of a directory; NotVisible where its trees may not be read."""
    with inode.opened(on) as fd:
        try:
            yield fd
        except PermissionError:
            raise users.not_visible("list subvolumes") from None


_MOST_LINKS = 40  # MAXSYMLINKS: path_resolution(7)


def _walk(fd: int, names: list[bytes]) -> Entry:
    """Go from the top level as the kernel does at a mount: links lead no further up than that."""
    above = [(TOP, btrfs.FIRST_INODE)]
    pending, links = names[::-1], 0
    while pending:
        name = pending.pop()
        tree, folder = above[-1]
        if name == b".":
            continue
        if name == b"..":
            above = above[:-1] or above
            continue
        found = next((e for e in _entries(fd, tree, folder) if e[3] == name), None)
        if found is None:
            return Entry(0, MISSING)
        target, key, file_type, _ = found
        if key == ROOT_ITEM:
            parents = (parent for parent, _ in items_of(fd, ROOT_TREE, target, ROOT_BACKREF))
            if tree not in parents:  # a snapshot of the parent, which shows an empty stub instead
                return Entry(0, OTHER)
            above.append((target, btrfs.FIRST_INODE))
        elif file_type == _DIRECTORY_TYPE:
            above.append((tree, target))
        elif file_type == _LINK_TYPE and links < _MOST_LINKS:
            links += 1
            text = _link(fd, tree, target)
            above = above[:1] if text.startswith(b"/") else above
            pending += [n for n in text.split(b"/") if n][::-1]
        else:
            return Entry(0, MISSING if pending or file_type == _LINK_TYPE else OTHER)
    tree, folder = above[-1]
    if folder != btrfs.FIRST_INODE:
        return Entry(0, DIRECTORY)
    return Entry(tree, SUBVOLUME, f"/{path_of(fd, tree)}" if links else "")


def _link(fd: int, tree: int, number: int) -> bytes:
    """Read where a symbolic link leads to: its text is in the tree, behind 21 bytes of header."""
    return next((data[21:] for _, data in items_of(fd, tree, number, EXTENT_DATA)), b"")


def _entries(fd: int, tree: int, folder: int) -> Iterator[tuple[int, int, int, bytes]]:
    """Yield the target, the type of its key, the type of file and the name of each entry."""
    for _, data in items_of(fd, tree, folder, DIR_ITEM):
        at = 0
        while at < len(data):  # names of one hash lie in one item
            target, key, _, _, more, length, file_type = _ENTRY.unpack_from(data, at)
            at += _ENTRY.size
            yield target, key, file_type, data[at : at + length]
            at += length + more


_REFERENCED, _EXCLUSIVE = 1, 2  # BTRFS_QGROUP_LIMIT_MAX_RFER, MAX_EXCL

_LEVEL = 48  # BTRFS_QGROUP_LEVEL_SHIFT

_STATUS, _INFO, _LIMIT, _RELATION = 240, 242, 244, 246  # BTRFS_QGROUP_*_KEY, btrfs_qgroup_*_item

_ON, _INCONSISTENT, _SIMPLE = 1, 4, 8  # BTRFS_QGROUP_STATUS_FLAG_*


class _Group(Value):
    """``flags`` say which limits there are; bytes."""

    flags: int
    most_referenced: int
    most_exclusive: int
    referenced: int
    exclusive: int

    def limits(self, number: int) -> Iterator[Limit]:
        name = f"{number >> _LEVEL}/{number & ((1 << _LEVEL) - 1)}"
        if self.flags & _REFERENCED:
            yield Limit(name, REFERENCED, self.most_referenced, self.referenced)
        if self.flags & _EXCLUSIVE:
            yield Limit(name, EXCLUSIVE, self.most_exclusive, self.exclusive)


def quota_of(fd: int, uuid: str, subvolume: int) -> Quota:
    """The limits that count for the subvolume with that id; no limits where quotas are off."""
    if not os.path.isdir(f"/sys/fs/btrfs/{uuid}"):
        return _from_tree(fd, subvolume)
    folder = f"/sys/fs/btrfs/{uuid}/qgroups"
    try:
        # A kernel before 6.7 has no "mode", one before 6.1 none of the three.
        if not os.path.isdir(folder) or files.read(f"{folder}/enabled") == b"0\n":
            return Quota()
        groups = dict(_in_sysfs(folder, subvolume))
        simple = files.read(f"{folder}/mode") == b"squota\n"
        counting = files.read(f"{folder}/inconsistent") not in {None, b"0\n"}
    except FileNotFoundError:  # quotas, or that qgroup, ended while we looked
        return Quota()
    return _judged(fd, subvolume, groups, simple=simple, counting=counting)


def _in_sysfs(folder: str, subvolume: int) -> Iterator[tuple[int, _Group]]:
    """The subvolume's own qgroup, and all of a higher level."""
    for name in os.listdir(folder):
        level, underscore, number = name.partition("_")
        if underscore and level.isdigit() and (level != "0" or number == str(subvolume)):
            path = f"{folder}/{name}"
            limits = _numbers(path, "limit_flags", "max_referenced", "max_exclusive")
            reserved = sum(_numbers(path, "rsv_data", "rsv_meta_pertrans", "rsv_meta_prealloc"))
            used = (each + reserved for each in _numbers(path, "referenced", "exclusive"))
            yield int(level) << _LEVEL | int(number), _Group(*limits, *used)


def _numbers(folder: str, *names: str) -> list[int]:
    return [int(process.kernel_file(f"{folder}/{name}")) for name in names]


def _judged(
    fd: int, subvolume: int, groups: dict[int, _Group], *, simple: bool, counting: bool
) -> Quota:
    """Those limits that count: of the subvolume's own qgroup and of all that it belongs to."""
    mine, unseen = {subvolume}, False
    if any(number >> _LEVEL and any(each.limits(number)) for number, each in groups.items()):
        try:
            mine |= _parents(fd, subvolume)
        except PermissionError:
            unseen = True
    limits = [
        limit for number in sorted(mine & groups.keys()) for limit in groups[number].limits(number)
    ]
    limits.sort(key=lambda limit: limit.left)
    return Quota(tuple(limits), simple, unseen, counting and bool(limits))


def _parents(fd: int, number: int) -> set[int]:
    """The qgroups that one belongs to, and those that they belong to; PermissionError."""
    found: set[int] = set()
    pending = [number]
    while pending:
        each = pending.pop()
        for other, _ in items_of(fd, QUOTA_TREE, each, _RELATION):
            if other >> _LEVEL > each >> _LEVEL and other not in found:
                found.add(other)
                pending.append(other)
    return found


def _from_tree(fd: int, subvolume: int) -> Quota:
    """The same without sysfs, as of the last commit; for others than root nothing is seen."""
    kinds: dict[tuple[int, int], bytes] = {}
    try:
        for _, offset, kind, data in items(fd, QUOTA_TREE, (0, 0), (_STATUS, _LIMIT)):
            kinds[kind, offset] = data
    except PermissionError:
        return Quota(unseen=True)
    except OSError as error:
        if error.errno != errno.ENOENT:  # there is no such tree: quotas are off
            raise
        return Quota()
    flags = struct.unpack_from("=16xQ", kinds.get((_STATUS, 0), bytes(24)))[0]
    if not flags & _ON:
        return Quota()
    groups = {}
    for (kind, number), info in kinds.items():
        if kind == _INFO and (number >> _LEVEL or number == subvolume):
            limits = struct.unpack_from("=3Q", kinds.get((_LIMIT, number), bytes(40)))
            groups[number] = _Group(*limits, *struct.unpack_from("=8xQ8xQ", info))
    simple, counting = bool(flags & _SIMPLE), bool(flags & _INCONSISTENT)
    return _judged(fd, subvolume, groups, simple=simple, counting=counting)
