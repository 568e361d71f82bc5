"""Packages of other distributions: of one version and address, and built as far as can be here."""

import json
import re
import shutil
import subprocess
import tomllib

import pytest

from reconciler import __version__
from tests import tiers
from tests.packages.tools import CHECKOUT, FOLDER, tool

PACKAGING = CHECKOUT / "packaging"
RECIPES = {
    "debian/changelog": r"vmtune \(([^)]+)\)",
    "rpm/vmtune.spec": r"Version: +(\S+)",
    "arch/PKGBUILD": r"pkgver=(\S+)",
    "nix/package.nix": r'version = "([^"]+)"',
}
WHEREABOUTS = ("debian/control", "rpm/vmtune.spec", "arch/PKGBUILD", "nix/package.nix")
SHIPPED = {
    "/usr/lib/systemd/system/vmtune-status.service",
    "/usr/lib/systemd/system/vmtune-status.timer",
    "/usr/lib/vmtune/check_vmtune",
    "/usr/share/bash-completion/completions/vmtune",
    "/usr/share/fish/vendor_completions.d/vmtune.fish",
    "/usr/share/vmtune/metrics.jq",
    "/usr/share/vmtune/schemas/vmtune.schema.json",
    "/usr/share/zsh/site-functions/_vmtune",
}


@pytest.mark.parametrize("name", RECIPES)
def test_they_are_of_this_version(name):
    found = re.search(RECIPES[name], (PACKAGING / name).read_text())
    assert found
    assert found[1] == __version__


@pytest.mark.parametrize("name", WHEREABOUTS)
def test_they_name_the_projects_page(name):
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    assert project["urls"]["Homepage"] in (PACKAGING / name).read_text()


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """The source archive that `make dist` makes."""
    tool("twine")
    folder = tmp_path_factory.mktemp("source")
    subprocess.run(["sh", ".ci/dist", folder], cwd=CHECKOUT, check=True, capture_output=True)
    return next(folder.glob("*.tar.gz"))


def built(argv, **options) -> str:
    done = subprocess.run(
        argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **options
    )
    assert done.returncode == 0, done.stdout[-4000:]
    return done.stdout


def needs(program: str, package: str) -> None:
    if not shutil.which(program):
        tiers.absent("packages", program, f"apt-get install -y {package}")


def test_an_rpm_is_built(source, tmp_path):
    """By Debian's rpmbuild, with stand-ins for the macros of Fedora; its tests ran elsewhere."""
    needs("rpmbuild", "rpm")
    (tmp_path / "SOURCES").mkdir()
    shutil.copy(source, tmp_path / "SOURCES")
    macros = tmp_path / "macros"
    text = (CHECKOUT / "tests" / "packages" / "fedora.macros").read_text()
    macros.write_text(text.replace("@PYTHON@", tool("python")))
    spec = PACKAGING / "rpm" / "vmtune.spec"
    flags = ["--load", macros, "--define", f"_topdir {tmp_path}", "--nodeps", "--nocheck"]
    built(["rpmbuild", "-bb", *flags, spec])
    rpm = next(tmp_path.glob("RPMS/noarch/*.rpm"))
    files = built(["rpm", "--query", "--list", "--package", rpm]).splitlines()
    manual = {f"/usr/share/man/{page}" for page in ("man1/vmtune.1", "man5/vmtune.yaml.5")}
    assert {*files} >= SHIPPED | manual | {"/usr/bin/vmtune"}


def test_an_arch_package_is_built(source, tmp_path):
    """By Debian's makepkg, without pacman; under another name than root, which it refuses."""
    needs("makepkg", "makepkg")
    needs("bsdtar", "libarchive-tools")
    needs("fakeroot", "fakeroot")
    for file in (source, *(PACKAGING / "arch").iterdir()):
        shutil.copy(file, tmp_path)
    path = f"{FOLDER}/bin:/usr/bin:/bin"
    env = {"PACMAN": "true", "HOME": str(tmp_path), "PATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    someone = ["unshare", "--user", "--map-user=1000", "--map-group=1000"]
    built([*someone, "makepkg", "--nodeps", "--nocheck"], cwd=tmp_path, env=env)
    made = built(["bsdtar", "-tf", next(tmp_path.glob("*.pkg.tar*"))]).splitlines()
    assert {f"/{name}" for name in made} >= SHIPPED
    # Where the program goes the Python that installs it says: here that of an environment.
    assert any(name.endswith("/bin/vmtune") for name in made)


@pytest.mark.parametrize("name", ["flake.nix", "package.nix"])
def test_nix_reads_it(name):
    """Its packages cannot be had here, so nothing is built."""
    needs("nix-instantiate", "nix-bin")
    built(["nix-instantiate", "--parse", PACKAGING / "nix" / name])


PLACES = [
    {"at": {"place": "Directory", "path": "/srv/v\x1bm\udcff"}, "part": {"nocow": True}},
    {"at": {"place": "FstabOptions", "target": "/", "line": 1}, "part": {"noatime": "noatime"}},
    {"at": {"place": "LiveOption", "target": "/", "name": "noatime"}, "part": {"is": "noatime"}},
    {"at": {"place": "TextFile", "path": "/etc/cron.d/vmtune-defrag-a"}, "part": {"is": None}},
    {"at": {"place": "Timer", "unit": "vmtune-defrag-a.timer"}, "part": {"is": "on"}},
]
RECORDS = {
    "none": (None, ""),
    "nothing": ('{"configs": []}', ""),
    "damaged": ('{"configs": [1]}', "  what, is not known: "),
    "of another format": (
        '{"configs": [{"path": "/a", "wanted": [{}]}]}',
        "  what, is not known: ",
    ),
    "cut off": ('{"configs": [', "  what, is not known: "),
}


def still_declared(folder) -> str:
    return built([PACKAGING / "bin" / "still-declared"], env={"VMTUNE_STATE": str(folder)})


@pytest.mark.parametrize("name", RECORDS)
def test_a_removal_is_never_stopped_by_the_record(tmp_path, name):
    text, begins = RECORDS[name]
    if text is not None:
        (tmp_path / "claims.json").write_text(text)
    said = still_declared(tmp_path)
    assert said.startswith(begins)
    assert bool(said) == bool(begins)


def test_a_removal_says_what_is_declared(tmp_path):
    record = {"configs": [{"path": "/etc/vmtune/vmtune.yaml", "wanted": PLACES}]}
    (tmp_path / "claims.json").write_text(json.dumps(record))
    assert still_declared(tmp_path).splitlines() == [
        "  in /etc/vmtune/vmtune.yaml:",
        "    /srv/v?m?",
        "    the live option noatime of /",
        "    the options of / in /etc/fstab",
        "    the schedule vmtune-defrag-a.timer",
    ]
