"""What users read leads somewhere, is valid, and names only what there is."""

import re

import pytest

from reconciler import exit_codes
from reconciler.cli import SHARED, cli
from reconciler.commands.explain import CODES
from reconciler.config.load import load_all_hosts
from reconciler.resources.registry import KINDS, SECTIONS
from tests import documents
from tests.documents import PAGES, READ, ROOT, commands

README, PORTUGUESE = PAGES[:2]
DECLARES = re.compile(rf"(?m)^(version|{'|'.join(section.name for section in SECTIONS)}):")
HOMES = {"": "/home/me"}
each = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def text_of(page):
    return page.read_text(encoding="utf-8")


def headings(page):
    """The anchors of a page, as forges make them of its headings."""
    titles = re.findall(r"(?m)^#+ (.*)$", text_of(page))
    return {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}


@each
def test_its_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)]+)\)", text_of(page)):
        if re.match(r"https?:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path) if path else page
        assert target.exists(), link
        assert not anchor or anchor in headings(target), link


@each
def test_its_files_and_tests_are_there(page):
    """A name such as ``engine/held.py``, or of a test, outlives what it names otherwise."""
    text = text_of(page)
    for name in re.findall(r"`([a-z_]+/[\w/]+\.(?:py|json|jq|md|spec))`", text):
        assert (ROOT / name).exists() or (ROOT / "reconciler" / name).exists(), name
    tests = "".join(path.read_text() + path.stem for path in ROOT.glob("tests/**/*.py"))
    assert not [name for name in re.findall(r"`(test_\w+)`", text) if name not in tests]


@each
def test_its_codes_are_known(page):
    assert {*re.findall(r"\bV\d{3}\b", text_of(page))} <= {*CODES}


@each
def test_its_yaml_is_valid(page):
    """A block without ``version`` is a part of a file, or the whole of one in hosts/."""
    for block in documents.blocks(page):
        if block.language != "yaml" or not DECLARES.search(block.text):
            continue
        base, overlays = block.text, {}
        if "host.schema.json" in block.text:
            overlays = {"atlas": (block.text.encode(), "hosts/atlas.yaml")}
            base = "version: 1\npaths:\n  - path: ~/libvirt/images\n    nocow: true\n"
        elif "version:" not in base:
            base = f"version: 1\n{base}"
        load_all_hosts(
            base.encode(), page.name, home_of=lambda _name: "/home/me", overlays=overlays
        )


@each
def test_its_commands_have_the_options_that_it_names(page):
    for line in commands(page):
        for words in documents.calls(line):
            names = [word for word in words if word in cli.commands]
            assert names or "".join(words[:1]).startswith("-") or not words, line
            command = cli.commands[names[0]] if names else cli
            known = {option for each in [*command.params, *SHARED] for option in each.opts}
            given = {word for word in words if word.startswith("-") and word != "-"}
            assert given <= known | {"-h", "--help", "-V", "--version"}, line


# --- what a page must have
def test_the_readme_is_short():
    assert len(text_of(README).splitlines()) <= 170


def test_the_readme_has_every_command_and_exit_code():
    named = " ".join(commands(README))
    assert [name for name in cli.commands if f"vmtune {name}" not in named] == []
    rows = re.findall(r"(?m)^\| (\d+) \|", text_of(README))
    codes = {int(value) for name, value in vars(exit_codes).items() if name.isupper()}
    assert {int(row) for row in rows} == codes


def test_the_portuguese_readme_has_the_same_commands_and_the_same_first_file():
    def installs(page):
        return [x for x in documents.said(page) if re.search("^(sudo |make |pipx |uv |man )", x)]

    def first(page):
        return next(block.text for block in documents.blocks(page) if block.language == "yaml")

    assert [x for x in documents.shell(README) if x not in documents.shell(PORTUGUESE)] == []
    assert installs(README) == installs(PORTUGUESE)
    assert first(README) == first(PORTUGUESE)
    assert "vmtune.yaml.pt-BR.example" in text_of(PORTUGUESE)


def test_the_pictures_are_as_they_are_drawn():
    """No name of the machine that drew them, no font from elsewhere; both colour schemes."""
    for name in ("plan", "status"):
        drawn = (ROOT / ".ci" / f"{name}.svg").read_text()
        assert "prefers-color-scheme: dark" in drawn
        assert "host atlas" in re.sub("<[^>]*>", "", drawn)
        assert not re.search(r"https?://(?!www\.w3\.org)|@font-face|\(pid ", drawn)


# --- each command is run: by a test that takes it from its page, or else by the container's walk
def test_what_tests_take_from_the_pages_is_there():
    named = {command for page in READ for command in commands(page)}
    assert {*documents.NOT_RUN} - named == set()
    for words in documents.NO_COMMANDS:
        assert any(f"`{words}`" in documents.text_of(page) for page in READ), words
    names = {block.name for page in PAGES for block in documents.blocks(page)}
    others = {x for x in documents.claimed() - named - names if not x.startswith("make ")}
    assert others == set(), "a test names it, and no page"
    assert {*documents.NOT_RUN} & documents.claimed() == set()


def test_each_file_that_a_page_has_somebody_write_for_a_shell_is_run():
    files = {x.name for page in PAGES for x in documents.blocks(page) if x.language == "sh"}
    assert files - {""} - documents.claimed() == set()


@pytest.mark.parametrize(
    ("command", "line"),
    [
        ("vmtune plan", "vmtune apply"),
        ("vmtune plan -o PLAN", "vmtune plan ~/vm.plan"),
        ("chattr +C", "chattr -C x"),
    ],
)
def test_a_line_is_of_its_command(command, line):
    with pytest.raises(ValueError, match=re.escape(line)):
        documents.as_typed(command, line)
    with pytest.raises(LookupError):
        documents.as_typed(f"{command} --no-such-thing", line)


def test_every_kind_has_a_page():
    said = "".join(text_of(page) for page in PAGES)
    assert [kind.section.name for kind in KINDS if f"{kind.section.name}:" not in said] == []
