"""The Debian package, built as Debian builds it: with what it asks for, and without network."""

import os
import re
from pathlib import Path

from tests.host import sandbox

CHECKOUT = Path(__file__).parents[2]
CONTROL = CHECKOUT / "packaging" / "debian" / "control"

# debootstrap alone does not get lintian's Perl modules into an order that configures.
_TREE = """
tree=$1 suite=$2 mirror=$3; shift 3
debootstrap --variant=minbase "$suite" "$tree" "$mirror"
echo 'Acquire::Languages "none";' >"$tree/etc/apt/apt.conf.d/90vmtune"
mount -t proc proc "$tree/proc"
chroot "$tree" apt-get update -qq
DEBIAN_FRONTEND=noninteractive chroot "$tree" apt-get install -y -qq --no-install-recommends "$@"
umount "$tree/proc"
chroot "$tree" useradd --create-home --uid 1000 builder
rm -rf "$tree"/var/cache/apt/* "$tree"/var/lib/apt/lists/* "$tree"/usr/share/locale/*
"""

# A terminal is among what the tests ask for. What is built lies in memory, and goes with it.
_BUILD = """
tree=$1 checkout=$2 out=$3 options=$4 command=$5
mount -t proc proc "$tree/proc"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$tree/dev/pts"
mount --bind "$tree/dev/pts/ptmx" "$tree/dev/ptmx"
mount -t tmpfs tmpfs "$tree/mnt"
mkdir "$tree/mnt/vmtune"
cd "$checkout"
tar -c --exclude=./.git --exclude=./.venv --exclude=./.cache --exclude=./dist \
    --exclude=__pycache__ . | tar -x -C "$tree/mnt/vmtune"
chown -R 1000:1000 "$tree/mnt/vmtune"
unshare --net chroot --userspec=1000:1000 "$tree" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    HOME=/nonexistent DEB_BUILD_OPTIONS="$options" \
    sh -euc 'cd /mnt/vmtune; eval "$0"; lintian --no-tag-display-limit .cache/deb/*.changes' \
    "$command" \
    >"$out/build.log" 2>&1 || { tail -c 4000 "$out/build.log"; exit 1; }
cp "$tree"/mnt/vmtune/dist/*.deb "$out/"
"""


def build_depends() -> list[str]:
    """Return the packages that the control file names, without versions and conditions."""
    field = CONTROL.read_text("utf-8").partition("Build-Depends:")[2].partition("\n\n")[0]
    return re.findall(r"^ ([a-z0-9-]+)", field, re.MULTILINE)


def tree(cache: Path) -> Path:
    """Return the root of a system with what the build asks for, made once for a given recipe.

    dh-sequence-python3 is a name that dh-python provides.
    """
    wanted = [*sorted({*build_depends()} - {"debhelper-compat", "dh-sequence-python3"})]
    wanted += ["debhelper", "dh-python", "lintian"]

    def fill(part: Path) -> None:
        argv = sandbox.sandbox(_TREE, str(part), sandbox.SUITE, sandbox.mirror(), *wanted)
        sandbox.checked(argv, env=os.environ | sandbox.proxy())

    return sandbox.made_once(cache, "build", (sandbox.SUITE, wanted, _TREE), fill)


def build(cache: Path, out: Path, command: str) -> Path:
    """Build the package as the pages say, judge it by lintian, and return its file beside its log.

    Raises CalledProcessError where a test or lintian finds an error.
    """
    options = os.environ.get("DEB_BUILD_OPTIONS", "parallel=2")
    argv = [str(tree(cache)), str(CHECKOUT), str(out), options, command]
    sandbox.checked(sandbox.sandbox(_BUILD, *argv))
    return next(out.glob("*.deb"))


if __name__ == "__main__":
    print(tree(sandbox.cache_folder()))
