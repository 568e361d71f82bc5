"""libvirt's XML: machines that run, their disks, and storage pools (formatdomain, formatstorage).

Whether a machine can be saved and started again is judged by what is known to be safe: each
element and each type that is not in the lists below is a reason against it.

Only what has no document type is read, so there are no entities that could be expanded or fetched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET
from xml.parsers import expat

from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


class LiveDomain(Value):
    """``memory`` in bytes, what the screen needs among it; ``files`` those of all its disks.

    ``files`` have the backing files, where the machine runs, and devices; ``volumes`` are disks
    that are named by pool and volume. ``disks`` are the names of the disks ("vda"), ``networks``
    those of libvirt's networks. ``problems`` say why it must not be saved and started again.
    ``viewers`` is where those connect that may hand a USB device to it; None where they cannot.
    """

    name: str
    memory: int
    files: tuple[str, ...]
    volumes: tuple[tuple[str, str], ...]
    disks: tuple[str, ...]
    networks: tuple[str, ...]
    viewers: Viewers | None
    problems: tuple[str, ...]


class Viewers(Value):
    """Where a viewer connects: TCP ports and sockets; and if the machine has a TPM's, besides."""

    ports: tuple[int, ...]
    sockets: tuple[str, ...]
    has_tpm: bool


def parsed(text: str) -> LiveDomain:
    """Return what a definition says; ValueError where it is none."""
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ValueError("a document type")
    try:
        top = ET.fromstring(text)  # noqa: S314 - without a document type there are no entities
    except ET.ParseError as error:
        raise ValueError(str(error)) from None
    if top.tag != "domain":
        raise ValueError("no domain")
    ways = ("devices/disk/source", "devices/disk//backingStore/source")
    sources = [source for way in ways for source in top.iterfind(way)]
    return LiveDomain(
        top.findtext("name") or "",
        _memory(top),
        tuple(dict.fromkeys(file for source in sources if (file := _path(source)))),
        tuple(
            (source.get("pool", ""), source.get("volume", ""))
            for source in top.iterfind("devices/disk[@type='volume']/source")
        ),
        tuple(target.get("dev", "") for target in top.iterfind("devices/disk/target")),
        tuple(
            source.get("network", "")
            for source in top.iterfind("devices/interface[@type='network']/source")
        ),
        _viewers(top),
        tuple(dict.fromkeys(_problems(top))),
    )


def _path(source: ET.Element) -> str:
    return source.get("file") or source.get("dev") or ""


def _viewers(top: ET.Element) -> Viewers | None:
    if top.find("devices/redirdev") is None:
        return None
    screens = top.findall("devices/graphics[@type='spice']")
    ports = (screen.get(name, "") for screen in screens for name in ("port", "tlsPort"))
    places = (place.get("socket") for screen in screens for place in screen.iter())
    return Viewers(
        tuple(int(port) for port in ports if port.isdigit()),
        tuple(place for place in places if place),
        top.find("devices/tpm") is not None,
    )


_UNITS = {"b": 1, "bytes": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9}
_UNITS |= {"k": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_UNITS |= {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}


def _memory(top: ET.Element) -> int:
    found = top.find("memory")
    if found is None or found.get("unit", "KiB") not in _UNITS:
        raise ValueError("no amount of memory")
    screens = top.iterfind("devices/video/model")
    words = (screen.get(name, "0") for screen in screens for name in ("ram", "vram", "vgamem"))
    return int(found.text or "") * _UNITS[found.get("unit", "KiB")] + sum(map(int, words)) * 1024


_TOP = frozenset(
    """
    name uuid title description metadata memory maxMemory currentMemory memoryBacking vcpu vcpus
    cputune blkiotune memtune iothreads iothreadids defaultiothread resource sysinfo os features
    cpu clock on_poweroff on_reboot on_crash pm perf devices seclabel
    """.split()  # noqa: SIM905 - words, as libvirt has them
)

_DEVICES = frozenset(
    """
    emulator disk controller interface serial console channel input graphics sound audio video
    watchdog memballoon rng panic hub redirdev redirfilter tpm smartcard memory
    """.split()  # noqa: SIM905
)

_WORDS = {
    "hostdev": "a device of the host",
    "filesystem": "a directory that it shares with the host",
    "shmem": "memory that it shares with others",
    "vsock": "a vsock device, whose connections would break",
    "lease": "a lease of a lock manager",
}
"""Devices that are known, and cannot be saved or were never tried."""

_CACHES = frozenset({"", "default", "none", "writeback", "writethrough", "directsync"})

_DISK = frozenset(
    """
    driver source backingStore target alias address readonly boot serial iotune wwn vendor
    product blockio geometry
    """.split()  # noqa: SIM905
)

_TYPES: dict[str, frozenset[str]] = {
    "interface": frozenset({"network", "bridge", "user", "direct"}),
    "serial": frozenset({"pty", "file", "unix", "null"}),
    "console": frozenset({"pty", "file", "unix", "null"}),
    "channel": frozenset({"unix", "spicevmc", "spiceport", "pty", "null"}),
    "input": frozenset({"mouse", "tablet", "keyboard"}),
    "graphics": frozenset({"vnc", "spice"}),
    "controller": frozenset({"usb", "pci", "ide", "sata", "scsi", "virtio-serial", "fdc", "ccid"}),
    "redirdev": frozenset({"spicevmc"}),
    "smartcard": frozenset({"spicevmc"}),
}
"""Which types of a device are known to be saved and found again."""

_MEMORY = frozenset(["nosharepages", "hugepages", "source", "access", "allocation"])
"""What <memoryBacking> may say of where a machine's memory lies."""

_SCREENS = frozenset({"vga", "cirrus", "qxl", "virtio", "bochs", "none"})


def _problems(top: ET.Element) -> Iterator[str]:
    """Yield each reason why a machine must not be saved and started again."""
    if top.get("type") not in {"kvm", "qemu"}:
        yield f"it is a machine of the type {top.get('type')}"
    for each in top:
        if each.tag not in _TOP:
            yield f"its definition has <{each.tag.rpartition('}')[2]}>, which is not known here"
    yield from _of_its_processor(top)
    for each in top.iterfind("memoryBacking/*"):
        if each.tag not in _MEMORY:
            yield f"its memory is of a sort that was never tried: <{each.tag}>"
    for device in top.iterfind("devices/*"):
        yield from _of_a_device(device)


def _of_its_processor(top: ET.Element) -> Iterator[str]:
    for cpu in top.iterfind("cpu"):
        if cpu.get("migratable") == "off" or cpu.get("mode", "custom") == "maximum":
            yield "its processor has features that cannot be saved"
        for feature in cpu.iterfind("feature[@name='invtsc']"):
            if feature.get("policy") in {"require", "force"}:
                yield "its processor has a clock that cannot be saved (invtsc)"


def _of_a_device(device: ET.Element) -> Iterator[str]:
    tag, kind = device.tag, device.get("type", "")
    if tag not in _DEVICES:
        yield f"it has {_WORDS.get(tag, f'a device that is not known here: {tag}')}"
    elif tag in _TYPES and kind not in _TYPES[tag]:
        yield f"it has a device that is not known to be saved: {tag} of the type {kind or '?'}"
    elif tag == "disk":
        yield from _of_a_disk(device)
    elif tag in {"serial", "console", "channel"}:
        yield from _of_a_port(device)
    elif tag in _PLAIN and not _PLAIN[tag][0](device):
        yield _PLAIN[tag][1]


def _is_plain_network(device: ET.Element) -> bool:
    return device.find("backend") is None and device.find("teaming") is None


def _is_of_libvirt(tpm: ET.Element) -> bool:
    """Tell whether libvirt runs the TPM itself (swtpm), so that its state is a part of the save."""
    backend = tpm.find("backend")
    return backend is not None and backend.get("type") == "emulator" and not len(backend)


def _is_random(device: ET.Element) -> bool:
    models = {each.get("model") for each in device.iterfind("backend")}
    return models <= {"random", "builtin"}


def _of_a_port(port: ET.Element) -> Iterator[str]:
    for source in port.iterfind("source"):
        if source.get("path") and port.get("type") == "file" and source.get("append") != "on":
            yield f"its {port.tag} port writes to a file, which a start empties"
        if source.get("mode") == "connect":
            yield f"its {port.tag} port is connected to another program"


def _is_plain_screen(device: ET.Element) -> bool:
    model, driver = device.find("model"), device.find("driver")
    if model is None or model.get("type") not in _SCREENS or model.get("blob") == "on":
        return False
    is_bare = driver is None or driver.get("name", "qemu") == "qemu"
    return is_bare and model.find("acceleration[@accel3d='yes']") is None


_PLAIN: dict[str, tuple[Callable[[ET.Element], bool], str]] = {
    "interface": (_is_plain_network, "it has a network device that is not known to be saved"),
    "graphics": (
        lambda device: device.find("gl[@enable='yes']") is None,
        "its screen is drawn by the host's graphics card, which cannot be saved",
    ),
    "video": (_is_plain_screen, "its screen is of a sort that is not known here"),
    "tpm": (_is_of_libvirt, "its TPM is the host's own, encrypted, or another program's"),
    "memory": (
        lambda device: device.get("model") == "dimm",
        "it has a memory module of a sort that was never tried",
    ),
    "rng": (_is_random, "its random numbers come from another program"),
}
"""What a device must be besides, and why the machine is left alone where it is not."""


def _of_a_disk(disk: ET.Element) -> Iterator[str]:
    target, driver, source = disk.find("target"), disk.find("driver"), disk.find("source")
    name = "?" if target is None else target.get("dev", "?")
    is_known = disk.get("device", "disk") in {"disk", "cdrom", "floppy"}
    if not is_known or disk.get("snapshot") == "no":
        yield f"its disk {name} is of a sort that is not known here"
    if disk.get("type") not in {"file", "block", "volume"}:
        yield f"its disk {name} is no file, but of the type {disk.get('type') or '?'}"
    if disk.find("mirror") is not None:
        yield f"a job of its disk {name} runs"
    if disk.find("shareable") is not None:
        yield f"its disk {name} may be shared with other machines"
    if strange := sorted({each.tag for each in disk} - _DISK - {"mirror", "shareable"}):
        yield f"its disk {name} has <{strange[0]}>, which is not known here"
    if source is None:
        return  # an empty drive
    if driver is None or driver.get("name") != "qemu" or driver.get("type") not in {"raw", "qcow2"}:
        kind = "" if driver is None else driver.get("type", "")
        yield f"its disk {name} has the format {kind or '?'}, and only raw and qcow2 are known here"
    elif driver.get("cache", "") not in _CACHES:
        yield f"its disk {name} has cache={driver.get('cache')}"
    yield from _of_its_files(name, disk, source)


def _of_its_files(name: str, disk: ET.Element, source: ET.Element) -> Iterator[str]:
    for store in disk.iterfind(".//backingStore[@type]"):
        kind = store.find("format")
        is_plain = store.get("type") in {"file", "block"}
        if not is_plain or kind is None or kind.get("type") not in {"raw", "qcow2"}:
            yield f"its disk {name} has a backing file that is not known here"
    sources = [source, *disk.iterfind(".//backingStore/source")]
    if any(child.tag != "seclabel" for each in sources for child in each):
        yield f"its disk {name} has a file of a sort that is not known here"
    named = sources[1:] if disk.get("type") == "volume" else sources
    if not all(_path(each).startswith("/") for each in named):
        yield f"its disk {name} has a file without a path"


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


def defined(data: bytes) -> Domain:
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
