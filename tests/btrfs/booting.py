"""A machine that is booted on a loop device: its mounts, one after the other, and vmtune inside it.

Nothing runs in it but mount(8) and vmtune, in a chroot. The mounts are made as a boot makes them,
with the options of its fstab and kernel command line at that moment, so the kernel itself says what
the order of mounts ends in. A layout is a file of ``tests/btrfs/mount/layouts``:

says, source       what it shows, and where the layout is from
subvolumes         made in this order, from the top level
default            the default subvolume
links              made in the root subvolume: {/home: var/home}
root               the root subvolume, or a directory in it (an ostree deployment)
image              / is an overlay that shows the root, which is mounted at /sysroot (composefs)
cmdline, fstab     as they are in the field; $UUID stands for the filesystem
directories        made beside the subvolumes
nixos              the subvolume of /nix: /etc/fstab is a link into the store there
boot               "initramfs", "remount", or a mount point: its line of fstab is mounted
snapshots          made before the boot: {from: to}; read_only: they are
config             vmtune.yaml
printed            what plan, status, init and doctor print, or the parts that concern the layout
live, again        what the kernel shows after apply, and after another boot
"""

import contextlib
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from reconciler.formats import fstab, options
from tests.btrfs.outside import run
from tests.btrfs.sandbox import TOP
from tests.btrfs.world import Ran, World

_PROGRAM = [TOP / name for name in ("python", "purelib", "platlib", "checkout")]
_OFF_DISK = ("proc", "run", "tmp")


class Machine:
    """One layout on a loop device, off until ``boot``."""

    def __init__(self, host: World, case: Mapping[str, Any], cleanup: contextlib.ExitStack) -> None:
        self.case, self._host = case, host
        self._links: Mapping[str, str] = case.get("links", {})
        self.root = TOP / "t" / "machine"
        self._aside = TOP / "t" / "aside"
        for folder in (self.root, self._aside, TOP / "t" / "empty"):
            folder.mkdir()
        disk = TOP / "images" / "machine.img"
        with open(disk, "wb") as new:
            new.truncate(300 << 20)
        cleanup.callback(disk.unlink)
        run("mkfs.btrfs", "-q", disk)
        self.device = run("losetup", "--find", "--show", disk).strip()
        cleanup.callback(run, "losetup", "--detach", self.device)
        cleanup.callback(self.off)
        self.uuid = run("blkid", "-p", "-s", "UUID", "-o", "value", self.device).strip()
        self._install()

    # --- what is on the disk

    def _install(self) -> None:
        """Subvolumes, the few files that vmtune reads, and empty directories to mount on."""
        run("mount", self.device, self._aside)
        for name in self.case["subvolumes"]:
            (self._aside / name).parent.mkdir(parents=True, exist_ok=True)
            run("btrfs", "subvolume", "create", self._aside / name)
        for name in self.case.get("directories", ()):
            (self._aside / name).mkdir(parents=True)
        root = self._aside / self.case["root"]
        root.mkdir(parents=True, exist_ok=True)
        self._fill(root)
        self._fstab(root, self.case["fstab"].replace("$UUID", self.uuid))
        for old, new in self.case.get("snapshots", {}).items():
            sort = ["-r"] if self.case.get("read_only") else []
            run("btrfs", "subvolume", "snapshot", *sort, self._aside / old, self._aside / new)
        if default := self.case.get("default"):
            shown = run("btrfs", "subvolume", "show", self._aside / default)
            number = re.search(r"Subvolume ID:\s+(\d+)", shown)
            run("btrfs", "subvolume", "set-default", number[1], self._aside)  # type: ignore[index]
        run("umount", self._aside)

    def _fill(self, root: Path) -> None:
        for link, target in self._links.items():
            (root / link[1:]).symlink_to(target)
        for name in ("etc/systemd", "usr", "sysroot", "dev", "sys", "var/lib/vmtune", *_OFF_DISK):
            (root / name).mkdir(parents=True, exist_ok=True)
        for name in ("bin", "lib", "lib64", "sbin"):
            (root / name).symlink_to(f"usr/{name}")
        for name in ("passwd", "group", "nsswitch.conf", "ld.so.cache"):
            shutil.copy(f"/etc/{name}", root / "etc")
        for program in _PROGRAM:
            (root / str(program)[1:]).mkdir(parents=True)
        (root / "media/t").mkdir()
        (root / "media/t/vmtune.yaml").write_text(f"version: 1\n{self.case['config']}")

    def _fstab(self, root: Path, text: str) -> None:
        self.lines = fstab.parse(text.encode())
        path = root / "etc/fstab"
        if self.case.get("nixos"):
            (root / "nix").mkdir()
            store = self._aside / self.case["nixos"] / "store/0c-etc/etc"
            store.mkdir(parents=True)
            path.symlink_to("/nix/store/0c-etc/etc/fstab")
            path = store / "fstab"
        path.write_text(text)
        for line in self.lines:
            if line.target.startswith("/") and line.target not in self._links:
                (root / line.target[1:]).mkdir(parents=True, exist_ok=True)

    # --- a boot

    def boot(self) -> None:
        """Mount everything in the order of the layout, with what fstab says now."""
        for step in self.case["boot"]:
            if step == "initramfs":
                self._initramfs()
                self._system()
            elif step == "/etc":
                self._overlay_on_etc()
            elif step == "remount":
                run("mount", "-o", f"remount,{self._options('/')}", self.device, self.root)
            else:
                place = self.root / self._links.get(step, step[1:])
                run("mount", "-t", "btrfs", "-o", self._options(step), self.device, place)

    def _overlay_on_etc(self) -> None:
        """As MicroOS mounts it: what is changed lies in /var."""
        upper = self.root / "var/lib/overlay/12"
        layers = f"lowerdir={self.root}/etc,upperdir={upper}/etc,workdir={upper}/work-etc"
        run("mount", "-t", "overlay", "-o", layers, "overlay", self.root / "etc")

    def _initramfs(self) -> None:
        words = self.case["cmdline"].split()
        flags = ",".join(w.partition("=")[2] for w in words if w.startswith("rootflags="))
        mode = "rw" if "rw" in words else "ro"
        line = next((line for line in self.lines if line.target == "/"), None)
        if line and "x-initrd.mount" in line.options:
            given = self._options("/")
        else:
            given = f"{mode},{flags}".strip(",")
        inside = self.case["root"].removeprefix(self.case.get("mounted", self.case["root"]))
        if not inside and not self.case.get("image"):
            run("mount", "-t", "btrfs", "-o", given, self.device, self.root)
            return
        run("mount", "-t", "btrfs", "-o", given, self.device, self._aside)
        shown = self._aside / inside.strip("/")
        if self.case.get("image"):
            layers = f"lowerdir={shown}:{TOP / 't' / 'empty'}"
            run("mount", "-t", "overlay", "-o", layers, "composefs", self.root)
            run("mount", "--bind", shown / "etc", self.root / "etc")
        else:
            run("mount", "--bind", shown, self.root)
        run("mount", "--bind", self._aside, self.root / "sysroot")
        run("umount", self._aside)

    def _options(self, target: str) -> str:
        """What the kernel gets to see of a line, as mount(8) hands it on."""
        line = next(line for line in self.lines if line.target == target)
        apart = options.USERSPACE - {"defaults"}
        words = [w for w in options.split(line.options) if options.name(w) not in apart]
        return ",".join(w for w in words if not w.startswith("x-")) or "defaults"

    def _system(self) -> None:
        """What else a process needs, on no Btrfs of its own."""
        for name in _OFF_DISK:
            kind = "proc" if name == "proc" else "tmpfs"
            run("mount", "-t", kind, kind, self.root / name)
        run("mount", "--bind", "/sys", self.root / "sys")
        run("mount", "--bind", "/dev", self.root / "dev")
        for path in (Path("/usr"), *_PROGRAM):
            layers = f"lowerdir={path}:{TOP / 't' / 'empty'}"
            run("mount", "-t", "overlay", "-o", layers, "vmtune-test", self.root / str(path)[1:])
        line = self.root / "run" / "cmdline"
        line.write_text(self.case["cmdline"].replace("$UUID", self.uuid) + "\n")
        run("mount", "--bind", line, self.root / "proc/cmdline")

    def off(self) -> None:
        """Unmount everything, the last mount first."""
        with open("/proc/self/mountinfo", encoding="utf-8") as file:
            targets = [row.split()[4] for row in file]
        for target in reversed(targets):
            if target == str(self.root) or target.startswith((f"{self.root}/", str(self._aside))):
                run("umount", target)

    def reboot(self) -> None:
        """Boot with what is in /etc/fstab by now."""
        here = "nix/store/0c-etc/etc/fstab" if self.case.get("nixos") else "etc/fstab"
        text = (self.root / here).read_bytes()
        self.off()
        self.lines = fstab.parse(text)
        self.boot()

    # --- vmtune in it

    def vmtune(self, *arguments: str) -> Ran:
        """Run it in the machine, with the configuration at the same path there."""
        return self._host.prepared(f"os.chroot({str(self.root)!r}); os.chdir('/')", *arguments)

    def kernel(self) -> str:
        """The compression that the kernel shows, in the words of vmtune; read by hand."""
        with open("/proc/self/mountinfo", encoding="utf-8") as file:
            rows = [row.split() for row in file if f" {self.device} " in row]
        shown = [word for word in rows[-1][-1].split(",") if word.startswith("compress")]
        name, _, value = (shown[-1] if shown else "").partition("=")
        return (value + (", forced" if name == "compress-force" else "")) or "off"

    def printed(self) -> dict[str, str]:
        """The parts of what each command prints that concern the layout."""
        plan = _body(self.vmtune("plan").out)
        status = [x for x in self.vmtune("status").out.splitlines() if "compression" in x]
        init = self.vmtune("init").out
        doctor = self.vmtune("doctor").out
        found = {
            "plan": plan,
            "status": "\n".join(status),
            "init": "\n".join(_of_init(init)),
            "doctor": "\n".join(_of_doctor(doctor)),
        }
        return {name: self._neutral(text) for name, text in found.items()}

    def _neutral(self, text: str) -> str:
        text = text.replace(self.uuid, "$UUID").replace(self.uuid[:8], "$SHORT")
        text = re.sub(r"kernel \d+\.\d+", "kernel N", text)
        text = re.sub(r"\n *# {6,}(?=\S)", " ", text)  # the comments of init, unwrapped
        text = re.sub(r"\d+(\.\d+)? [KMG]iB", "N MiB", text)
        # Whether the disk below the loop device turns.
        text = re.sub(
            r"; (?:([^;\s]*),)?ssd(?:,discard=async)?;",
            lambda m: f"; {m[1] or 'default options'};",
            text,
        )
        text = "\n".join(line.rstrip() for line in text.strip("\n").splitlines())
        return f"{text}\n" if text else ""


def _body(plan: str) -> str:
    """The rows, without what stands above them."""
    lines = plan.splitlines()
    first = next(n for n, line in enumerate(lines) if re.match(r"[+~!?=R-] ", line))
    return "\n".join(line for line in lines[first:] if "vmtune explain" not in line)


_CODES = ("V2", "V509", "V510", "V511", "V525", "V526", "V527")


def _of_doctor(doctor: str) -> Iterator[str]:
    """The rows about mounts, each with the remedy under it."""
    kept = False
    for line in doctor.splitlines():
        if re.match(r"  (ok|warn|fail|\?) ", line):
            kept = any(re.search(rf"\b{code}\d*$", line.rstrip()) for code in _CODES)
        if kept and line.strip() and not re.search(r"\d+ ok", line):
            yield re.sub(r"^  (\w+|\?) +(.*)$", r"\1  \2", line) if line[2] != " " else line


def _of_init(init: str) -> Iterator[str]:
    """What is said of the filesystem."""
    kept = False
    for line in re.sub(r"(?m)(?<=^# - )(.*(?:\n#   .*)+)", _joined, init).splitlines():
        if line.startswith("# ---"):
            kept = "Mount" in line or "nothing to declare" in line
        if kept:
            yield line


def _joined(found: re.Match[str]) -> str:
    return found[0].replace("\n#   ", " ")


def told(status: str) -> tuple[str, str]:
    """What status says of compression: now, and at boot ("" for not known)."""
    both = re.search(r": compression ([^;]+), now and at boot;", status)
    if both:
        return both[1], both[1]
    found = re.search(r": compression now ([^;]+); at boot ([^;]+);", status)
    assert found, status
    return found[1], "" if found[2] == "not known" else found[2]


def machine(host: World, case: Mapping[str, Any]) -> contextlib.AbstractContextManager[Machine]:
    """A machine that is off again at the end."""

    @contextlib.contextmanager
    def made() -> Iterator[Machine]:
        with contextlib.ExitStack() as cleanup:
            yield Machine(host, case, cleanup)

    return made()


def accept(file: Path, printed: Mapping[str, str]) -> None:
    """Write what is printed now into the file of a layout, behind all else."""
    kept = file.read_text("utf-8").partition("printed:\n")[0]
    text = "printed:\n"
    for name, lines in printed.items():
        inside = "".join(f"    {line}".rstrip() + "\n" for line in lines.splitlines())
        text += f"  {name}: |2\n{inside}" if lines.strip() else f"  {name}: ''\n"
    file.write_text(kept + text, encoding="utf-8")
