"""A virtual machine's definition as libvirt gives it while the machine runs (formatdomain).

Whether a machine can be saved and started again is judged by what is known to be safe: each
element and each type that is not in the lists below is a reason against it. Read with ElementTree,
and only what has no document type: so there are no entities that could be expanded or fetched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from reconciler.value import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Domain:
    """``memory`` in bytes, what the screen needs among it; ``files`` those of all its disks.

    ``files`` have the backing files, where the machine runs. ``disks`` are the names of the disks
    ("vda"), ``networks`` those of libvirt's networks. ``problems`` say why it must not be saved and
    started again.
    """

    name: str
    memory: int
    files: tuple[str, ...]
    disks: tuple[str, ...]
    networks: tuple[str, ...]
    problems: tuple[str, ...]


def parsed(text: str) -> Domain:
    """Return what a definition says; ValueError where it is none."""
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ValueError("a document type")
    try:
        top = ET.fromstring(text)  # noqa: S314 - without a document type there are no entities
    except ET.ParseError as error:
        raise ValueError(str(error)) from None
    if top.tag != "domain":
        raise ValueError("no domain")
    sources = [
        *top.iterfind("devices/disk/source"),
        *top.iterfind("devices/disk//backingStore/source"),
    ]
    return Domain(
        top.findtext("name") or "",
        _memory(top),
        tuple(dict.fromkeys(file for source in sources if (file := source.get("file")))),
        tuple(target.get("dev", "") for target in top.iterfind("devices/disk/target")),
        tuple(
            source.get("network", "")
            for source in top.iterfind("devices/interface[@type='network']/source")
        ),
        tuple(dict.fromkeys(_problems(top))),
    )


_UNITS = {
    "b": 1,
    "bytes": 1,
    "KB": 10**3,
    "k": 1 << 10,
    "KiB": 1 << 10,
    "M": 1 << 20,
    "MiB": 1 << 20,
}
_UNITS |= {"MB": 10**6, "G": 1 << 30, "GiB": 1 << 30, "GB": 10**9, "T": 1 << 40, "TiB": 1 << 40}


def _memory(top: ET.Element) -> int:
    found = top.find("memory")
    if found is None or found.get("unit", "KiB") not in _UNITS:
        raise ValueError("no amount of memory")
    screens = top.iterfind("devices/video/model")
    words = (screen.get(name, "0") for screen in screens for name in ("ram", "vram", "vgamem"))
    return int(found.text or "") * _UNITS[found.get("unit", "KiB")] + sum(map(int, words)) * 1024


_TOP = frozenset(
    [
        "name",
        "uuid",
        "title",
        "description",
        "metadata",
        "memory",
        "currentMemory",
        "vcpu",
        "vcpus",
        "cputune",
        "blkiotune",
        "memtune",
        "iothreads",
        "iothreadids",
        "defaultiothread",
        "resource",
        "sysinfo",
        "os",
        "features",
        "cpu",
        "clock",
        "on_poweroff",
        "on_reboot",
        "on_crash",
        "pm",
        "perf",
        "devices",
        "seclabel",
    ]
)

_DEVICES = frozenset(
    [
        "emulator",
        "disk",
        "controller",
        "interface",
        "serial",
        "console",
        "channel",
        "input",
        "graphics",
        "sound",
        "audio",
        "video",
        "watchdog",
        "memballoon",
        "rng",
        "panic",
        "hub",
    ]
)

_WORDS = {
    "hostdev": "a device of the host",
    "filesystem": "a directory that it shares with the host",
    "shmem": "memory that it shares with others",
    "redirdev": "a USB redirection, whose device would be unplugged",
    "vsock": "a vsock device, whose connections would break",
    "tpm": "a TPM",
    "smartcard": "a smart card",
    "memory": "a memory module",
    "lease": "a lease of a lock manager",
}
"""Devices that are known, and cannot be saved or were never tried."""

_CACHES = frozenset({"", "default", "none", "writeback", "writethrough", "directsync"})

_DISK = frozenset(
    [
        "driver",
        "source",
        "backingStore",
        "target",
        "alias",
        "address",
        "readonly",
        "boot",
        "serial",
        "iotune",
        "wwn",
        "vendor",
        "product",
        "blockio",
        "geometry",
    ]
)

_TYPES: dict[str, frozenset[str]] = {
    "interface": frozenset({"network", "bridge", "user", "direct"}),
    "serial": frozenset({"pty", "file", "unix", "null"}),
    "console": frozenset({"pty", "file", "unix", "null"}),
    "channel": frozenset({"unix", "spicevmc", "pty", "null"}),
    "input": frozenset({"mouse", "tablet", "keyboard"}),
    "graphics": frozenset({"vnc", "spice"}),
    "controller": frozenset({"usb", "pci", "ide", "sata", "scsi", "virtio-serial", "fdc"}),
}
"""Which types of a device are known to be saved and found again."""

_SCREENS = frozenset({"vga", "cirrus", "qxl", "virtio", "bochs", "none"})


def _problems(top: ET.Element) -> Iterator[str]:
    """Yield each reason why a machine must not be saved and started again."""
    if top.get("type") not in {"kvm", "qemu"}:
        yield f"it is a machine of the type {top.get('type')}"
    for each in top:
        if each.tag not in _TOP:
            yield f"its definition has <{each.tag.rpartition('}')[2]}>, which is not known here"
    for cpu in top.iterfind("cpu"):
        if cpu.get("migratable") == "off" or cpu.get("mode", "custom") == "maximum":
            yield "its processor has features that cannot be saved"
        for feature in cpu.iterfind("feature[@name='invtsc']"):
            if feature.get("policy") in {"require", "force"}:
                yield "its processor has a clock that cannot be saved (invtsc)"
    for device in top.iterfind("devices/*"):
        yield from _of_a_device(device)


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
    elif tag == "interface" and (
        device.find("backend") is not None or device.find("teaming") is not None
    ):
        yield "it has a network device that is not known to be saved"
    elif tag == "graphics" and device.find("gl[@enable='yes']") is not None:
        yield "its screen is drawn by the host's graphics card, which cannot be saved"
    elif tag == "video" and not _is_plain_screen(device):
        yield "its screen is of a sort that is not known here"
    elif tag == "rng" and any(
        each.get("model") not in {"random", "builtin"} for each in device.iterfind("backend")
    ):
        yield "its random numbers come from another program"


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


def _of_a_disk(disk: ET.Element) -> Iterator[str]:
    target, driver, source = disk.find("target"), disk.find("driver"), disk.find("source")
    name = "?" if target is None else target.get("dev", "?")
    if (
        disk.get("device", "disk") not in {"disk", "cdrom", "floppy"}
        or disk.get("snapshot") == "no"
    ):
        yield f"its disk {name} is of a sort that is not known here"
    if disk.get("type") != "file":
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
    below = [*disk.iterfind(".//backingStore")]
    for store in (each for each in below if each.get("type") is not None):
        kind = store.find("format")
        if store.get("type") != "file" or kind is None or kind.get("type") not in {"raw", "qcow2"}:
            yield f"its disk {name} has a backing file that is not known here"
    sources = [source, *(each for each in disk.iterfind(".//backingStore/source"))]
    if any(child.tag != "seclabel" for each in sources for child in each):
        yield f"its disk {name} has a file of a sort that is not known here"
    if not all((each.get("file") or "").startswith("/") for each in sources):
        yield f"its disk {name} has a file without a path"
