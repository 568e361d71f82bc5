"""What users read leads somewhere, is valid, and names only what there is."""

import re

import pytest

from reconciler import exit_codes
from reconciler.cli import SHARED, cli
from reconciler.config.load import load_all_hosts
from reconciler.report.codes import CODES
from reconciler.resources.registry import KINDS
from tests import documents
from tests.documents import PAGES, ROOT, commands

README, PORTUGUESE = PAGES[:2]
SECTIONS = re.compile(r"(?m)^(version|paths|mounts|defrag):")
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
        if target.name in documents.OTHERS and not target.exists():
            continue
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
        if block.language != "yaml" or not re.search(
            "(?m)^(version|paths|mounts|defrag):", block.text
        ):
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
    named = " ".join(documents.inline(README))
    assert [name for name in cli.commands if f"vmtune {name}" not in named] == []
    rows = re.findall(r"(?m)^\| (\d+) \|", text_of(README))
    codes = {int(value) for name, value in vars(exit_codes).items() if name.isupper()}
    assert {int(row) for row in rows} == codes


def test_the_portuguese_readme_has_the_same_commands_and_the_same_first_file():
    def installs(page):
        return [
            x for x in documents.inline(page) if x.split()[0] != "vmtune" and "apt-get" not in x
        ]

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


@each
def test_its_commands_are_run(page):
    """In the container (tests/host/test_documents.py), or as the lists say."""
    listed = {**documents.ELSEWHERE, **documents.NOT_RUN}
    typed = {x for page in PAGES for x in documents.in_container(page)}
    left = {x for x in commands(page) if not documents.is_synopsis(x)}
    assert left - {*listed} - typed == set()


def test_the_lists_of_commands_that_are_not_run_here_are_right():
    """Each is in a document, and what runs elsewhere is to be found there."""
    named = {command for page in PAGES for command in commands(page)}
    assert {*documents.ELSEWHERE, *documents.NOT_RUN} - named == set()
    for command, (file, words) in {**documents.ELSEWHERE, **documents.SYNOPSES}.items():
        assert words in (ROOT / file).read_text(encoding="utf-8"), command
    assert len(documents.NOT_RUN) <= 12


def test_the_command_of_each_synopsis_is_run():
    """Nobody types a placeholder: a page has the command with something in its place, or a test."""

    def names(lines):
        calls = (words for line in lines for words in documents.calls(line))
        return {word for words in calls for word in words if word in cli.commands}

    typed = {x for page in PAGES for x in documents.in_container(page)}
    synopses = {x for page in PAGES for x in commands(page) if documents.is_synopsis(x)}
    assert {*documents.SYNOPSES} <= synopses
    assert names(synopses) - names(typed) == names(documents.SYNOPSES)


def test_every_kind_has_a_page():
    said = "".join(text_of(page) for page in PAGES)
    assert [kind.section.name for kind in KINDS if f"{kind.section.name}:" not in said] == []


@each
def test_commands_of_other_programs_are_run_or_said_why_not(page):
    listed = {*documents.OF_OTHERS, *documents.OF_OTHERS_NOT_RUN, *documents.NO_COMMANDS}
    assert {*documents.of_others(page)} - listed == set()


def test_the_lists_of_commands_of_other_programs_are_right():
    named = {command for page in PAGES for command in documents.of_others(page)}
    lists = (documents.OF_OTHERS, documents.OF_OTHERS_NOT_RUN, documents.NO_COMMANDS)
    assert {word for each_list in lists for word in each_list} - named == set()
    for command, (file, words) in documents.OF_OTHERS.items():
        assert words in (ROOT / file).read_text(encoding="utf-8"), command
