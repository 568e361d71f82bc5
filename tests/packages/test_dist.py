"""The source archive and the wheel: whole, fit for an index, and installed by its tools offline."""

import email
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
import yaml

from tests import tiers
from tests.checkout import make
from tests.documents import as_typed
from tests.host import sandbox, wheels
from tests.packages.tools import CHECKOUT, FOLDER, tool

EXAMPLE = CHECKOUT / "vmtune.yaml.example"


@pytest.fixture(scope="module")
def dist(tmp_path_factory) -> Path:
    """What `make dist` leaves; twine has judged it."""
    tool("twine")
    folder = tmp_path_factory.mktemp("dist")
    done = make(as_typed("make dist"), f"INTO={folder}")
    assert done.stdout.count("PASSED") == 2
    return folder


@pytest.fixture(scope="module")
def index(dist, tmp_path_factory) -> Path:
    """A folder to install from: the wheel, and all that it needs."""
    folder = tmp_path_factory.mktemp("index")
    running = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if running != sandbox.PYTHON:
        tiers.absent("packages", f"what Python {running} needs", f"It is for {sandbox.PYTHON}.")
    sandbox.cache_folder().mkdir(parents=True, exist_ok=True)
    shutil.copytree(
        wheels.dependencies(sandbox.cache_folder(), CHECKOUT), folder, dirs_exist_ok=True
    )
    shutil.copy(next(dist.glob("*.whl")), folder)
    return folder


@pytest.fixture
def user(tmp_path, index) -> dict[str, str]:
    """The environment of a user with an empty home, who has no network but a folder of wheels."""
    return {
        "HOME": str(tmp_path),
        "LANG": "C.UTF-8",
        "PATH": f"{FOLDER}/bin:/usr/bin:/bin",
        "UV_OFFLINE": "1",
        "UV_PYTHON": sys.executable,
        "PIPX_DEFAULT_PYTHON": sys.executable,
        "PIPX_HOME": str(tmp_path / "pipx"),
        # uv is what pipx has install, where it finds one beside it; else pip.
        **dict.fromkeys(("UV_NO_INDEX", "PIP_NO_INDEX"), "1"),
        **dict.fromkeys(("UV_FIND_LINKS", "PIP_FIND_LINKS"), str(index)),
        "PIP_CONFIG_FILE": os.devnull,
    }


def run(argv, env, **options) -> str:
    """The output of a program, or of a line that the pages have."""
    if isinstance(argv, str):
        argv = argv.split()
        tool(argv[0])
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_source_archive_builds_and_tests_by_itself(dist):
    with tarfile.open(next(dist.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=CHECKOUT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    # The link to the schemas is a folder there, and a build tool writes no empty one.
    assert {name for name in tracked if name != "reconciler/schemas"} - names == set()
    assert {f"schemas/{path.name}" for path in CHECKOUT.glob("schemas/*.json")} <= names
    assert not [name for name in names if re.search(r"__pycache__|\.venv|\.cache/", name)]


def test_the_wheel_holds_the_schemas_and_nothing_of_the_tests(dist):
    with zipfile.ZipFile(next(dist.glob("*.whl"))) as wheel:
        names = wheel.namelist()
    assert {f"reconciler/schemas/{path.name}" for path in CHECKOUT.glob("schemas/*.json")} <= {
        *names
    }
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"reconciler", "vmtune"}


def test_links_and_pictures_of_the_project_page_lead_somewhere(dist):
    """A page of an index has no files beside it."""
    with tarfile.open(next(dist.glob("*.tar.gz"))) as archive:
        info = archive.extractfile(next(x for x in archive.getnames() if x.endswith("PKG-INFO")))
        text = email.message_from_bytes(info.read()).get_payload(decode=True).decode()
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert len(links) > 3
    own = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["urls"]["Source"]
    for link in links:
        assert re.match(r"https?://|#", link)
        if link.startswith(own):
            assert (CHECKOUT / re.sub(r".*?/(?:raw|blob)/v[^/]+/", "", link)).exists(), link


def works(user: dict[str, str]) -> None:
    program = f"{user['HOME']}/.local/bin/vmtune"
    assert run([program, "--version"], user).startswith("vmtune")
    assert "valid" in run([program, "validate", str(EXAMPLE)], user)


def test_uv_tool_installs_it(user):
    run(as_typed("uv tool install vmtune"), user)
    works(user)


def test_uv_tool_installs_and_removes_a_checkout(user, tmp_path):
    """As the README has it; uv builds it without network."""
    for _twice in range(2):
        run(as_typed("uv tool install --reinstall ."), user, cwd=CHECKOUT)
    works(user)
    run(as_typed("uv tool update-shell"), {**user, "SHELL": "/bin/bash"})
    assert ".local/bin" in "".join(x.read_text() for x in tmp_path.glob(".bash*"))
    run(as_typed("uv tool uninstall vmtune"), user)
    assert not (tmp_path / ".local/bin/vmtune").exists()


@pytest.mark.parametrize("line", [as_typed("uvx vmtune plan"), as_typed("pipx run vmtune plan")])
def test_they_run_it_at_once(user, tmp_path, line):
    config = tmp_path / "vmtune.yaml"
    config.write_text("version: 1\n")
    assert f"config {config}" in run(line, {**user, "VMTUNE_CONFIG": str(config)})


def test_pipx_installs_it(user):
    run(as_typed("pipx install vmtune"), user)
    works(user)


def recipes() -> dict[str, dict]:
    """The jobs for forges in the documentation, by the name of their file."""
    text = (CHECKOUT / "docs" / "packaging.md").read_text()
    blocks = re.findall(r"^```yaml\n# (\S+)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return {name: yaml.safe_load(block) for name, block in blocks}


@pytest.mark.parametrize("name", [".github/workflows/vmtune.yml", ".gitlab-ci.yml"])
def test_the_commands_of_jobs_for_forges_work(user, tmp_path, name):
    folder, environment = tmp_path / "dotfiles", tmp_path / "environment"
    folder.mkdir()
    shutil.copy(EXAMPLE, folder / "vmtune.yaml")
    venv.create(environment, with_pip=True)
    pipx = Path(tool("pipx")).parent
    env = user | {"PATH": f"{environment}/bin:{pipx}:/usr/bin:/bin"}
    job = recipes()[name]
    steps = (
        job["jobs"]["validate"]["steps"] if "jobs" in job else [{"run": job["vmtune"]["script"]}]
    )
    commands = [step["run"] for step in steps if "run" in step]
    for command in [commands] if isinstance(commands[0], str) else commands:
        said = run(["sh", "-euc", "cd $0\n" + "\n".join(command), folder], env)
    assert "vmtune.yaml: valid" in said
