"""A checkout is got and renewed as README says, and holds what make would generate there."""

import os
import subprocess

import pytest

from tests import checkout, tiers
from tests.documents import as_typed


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A repository of this checkout's files, in the place of the page that is not there yet."""
    folder = tmp_path_factory.mktemp("page")
    checkout.copy(folder)
    git(folder, "git init --quiet && git add . && git commit --quiet --message=all")
    return folder


def git(folder, line, page=None):
    """A line of shell with git, which nobody has set up, and for which a page is elsewhere."""
    settings = {"user.name": "alice", "user.email": "alice@example.org"}
    settings |= {f"url.{page}.insteadOf": "https://example.org/vmtune"} if page else {}
    env = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_COUNT": str(len(settings))}
    for number, (key, value) in enumerate(settings.items()):
        env |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    done = subprocess.run(
        ["sh", "-euc", line],
        cwd=folder, env=os.environ | env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def clone(page, tmp_path_factory):
    """What somebody has who followed README; then the page gets a newer commit."""
    folder = tmp_path_factory.mktemp("clone")
    git(folder, as_typed("git clone https://example.org/vmtune"), page)
    git(page, "echo newer >new && git add new && git commit --quiet --message=newer")
    git(folder, "\n".join([as_typed("cd vmtune"), as_typed("git pull")]), page)
    return folder / "vmtune"


def test_it_is_renewed(clone):
    assert (clone / "new").read_text() == "newer\n"


@pytest.mark.parametrize(
    "line", [as_typed("make man"), as_typed("make codes"), as_typed("make validator")]
)
def test_what_is_generated_is_fresh(clone, line):
    checkout.make(line, folder=clone)
    assert git(clone, "git diff") == "", f"run `{line}`"


def test_apt_knows_what_a_bare_machine_lacks():
    """It only says what it would do; .ci/run does it, where there is no make."""
    tiers.judge("apt-get", "apt")
    argv = ["apt-get", "--simulate", "install", "make", "git"]
    line = as_typed("apt-get install make git", " ".join(argv))
    said = subprocess.run(line.split(), capture_output=True, text=True, check=True).stdout
    assert "Inst make" in said or "make is already the newest version" in said
