"""Quota groups: the limits that count for a subvolume (btrfs-quota(8), linux/btrfs_tree.h)."""

from __future__ import annotations

import errno
import os
import struct
from typing import TYPE_CHECKING

from reconciler.facts.host import EXCLUSIVE, REFERENCED, Limit, Quota
from reconciler.linux import files, proc
from reconciler.linux.tree_search import QUOTA_TREE, items, items_of
from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Iterator


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
    return [int(proc.whole(f"{folder}/{name}")) for name in names]


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
