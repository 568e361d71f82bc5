"""libvirt's XML of storage pools and domains: where images lie (formatstorage, formatdomain).

Read with expat alone, and only what has no document type: so there are no
entities that could be expanded or fetched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.parsers import expat

from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Mapping


LARGEST = 1 << 20
"""Bytes: a domain of a hundred disks has a tenth of that."""

_DEEPEST = 100


class Pool(Value):
    """A storage pool. ``path`` is its directory, "" where the type (iscsi, rbd) has none.

    ``cow`` is the state of <features><cow>: "yes", "no", or "" where it is
    left to pool-build, which then switches copy-on-write off.
    """

    name: str
    type: str
    path: str
    cow: str = ""


class Domain(Value):
    """A virtual machine, and the image files that it writes to, by absolute path."""

    name: str
    disks: tuple[str, ...]


class _Element(Value):
    way: str
    """Names of elements from the outermost on: "pool/target/path"."""
    attributes: Mapping[str, str]
    text: str


def pool(data: bytes) -> Pool:
    """A <pool>; ValueError when it is none."""
    found = _elements(data, "pool")
    texts = {element.way: element.text.strip() for element in found}
    kind = next((e.attributes.get("type", "") for e in found if e.way == "pool"), "")
    cow = (e.attributes.get("state", "") for e in found if e.way == "pool/features/cow")
    path = texts.get("pool/target/path", "")
    return Pool(
        texts.get("pool/name", ""), kind, path if path.startswith("/") else "", next(cow, "")
    )


def domain(data: bytes) -> Domain:
    """A <domain>; ValueError when it is none."""
    found = _elements(data, "domain")
    name = next((e.text.strip() for e in found if e.way == "domain/name"), "")
    return Domain(name, tuple(dict.fromkeys(_disks(found))))


def _disks(found: list[_Element]) -> list[str]:
    """Sources of disks that can be written: no CD-ROM, nothing <readonly/>.

    An element follows those inside it, so a disk's own stand right before it.
    """
    disks, source, is_written = [], "", True
    for element in found:
        inside = element.way.removeprefix("domain/devices/disk")
        if inside == "/source":
            source = element.attributes.get("file", "")
        elif inside == "/readonly":
            is_written = False
        elif not inside:
            device = element.attributes.get("device", "disk")
            if source.startswith("/") and is_written and device in {"disk", "lun"}:
                disks.append(source)
            source, is_written = "", True
    return disks


class _Refused(Exception):
    pass


def _elements(data: bytes, root: str) -> list[_Element]:
    """Every element as it ends; ValueError where it is not XML as libvirt writes it."""
    if len(data) > LARGEST:
        raise ValueError(f"larger than {LARGEST >> 20} MiB")
    open_: list[tuple[str, Mapping[str, str], list[str]]] = []
    found: list[_Element] = []

    def start(name: str, attributes: dict[str, str]) -> None:
        if len(open_) >= _DEEPEST or (not open_ and name != root):
            raise _Refused(f"not a <{root}>" if not open_ else "nested too deep")
        open_.append((name, attributes, []))

    def end(_name: str) -> None:
        way = "/".join(name for name, _, _ in open_)
        _, attributes, text = open_.pop()
        found.append(_Element(way, attributes, "".join(text)))

    def characters(text: str) -> None:
        open_[-1][2].append(text)

    def document_type(*_: object) -> None:
        raise _Refused("has a document type, which libvirt never writes")

    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = characters
    parser.StartDoctypeDeclHandler = document_type
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, _Refused, LookupError) as error:
        raise ValueError(f"not read: {error}") from None
    return found
