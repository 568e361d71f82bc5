"""What vmtune.yaml may say: each mistake, where it is reported and in which words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from reconciler import cli
from reconciler.config.check import load_schema
from reconciler.config.load import load
from reconciler.errors import ConfigErrors
from reconciler.formats import options
from reconciler.resources.registry import DEFAULTS

if TYPE_CHECKING:
    from collections.abc import Iterator

HOMES = {"": "/home/me", "alice": "/home/alice"}

P = "version: 1\npaths:\n  - path: /x\n    "  # line 4, column 5
OFF = ["none", "off", "No", "false", "nocompress", "0"]
M = "version: 1\nmounts:\n  - target: /\n    options: "  # line 4, column 14
D = "version: 1\ndefrag:\n  - path: /x\n    schedule: "  # line 4, column 15
H = "version: 1\nhosts:\n  "  # line 3, column 3
FORCE = "compress-force: expected lzo, zlib, zlib:1 to zlib:9, zstd, or zstd:-15 to zstd:15; found "
LEVEL = "compress: expected no, lzo, zlib, zlib:1 to zlib:9, zstd, or zstd:-15 to zstd:15; found "

# name: (text, every problem as "line:column: message", or the beginning of the message)
HOSTILE: dict[str, tuple[str, list[str]]] = {
    "a list": ("- version: 1", ["1:1: expected `key: value` lines, found a list"]),
    "a text": ("hello", ["1:1: expected `key: value` lines, found the text 'hello'"]),
    "a number": ("1", ["1:1: expected `key: value` lines, found the number 1"]),
    "no blank after a colon": ("version:1", ["1:1: expected `key: value` lines, found the text"]),
    "no version": ("paths: []", ["1:1: 'version' is missing"]),
    "later version": ("version: 2\nnope: 1", ["1:10: version: this vmtune reads version 1"]),
    "version as a fraction": ("version: 1.0", ["1:10: version: expected the number 1, found"]),
    "version as text": (
        'version: "1"',
        ["1:10: version: expected the number 1, found the text '1'"],
    ),
    "version true": ("version: true", ["1:10: version: expected the number 1, found true"]),
    "version list": ("version: [1]", ["1:10: version: expected the number 1, found a list"]),
    "misspelt version": ("verson: 1", ["1:1: unknown key 'verson'"]),
    "unknown section": ("version: 1\nmount: []", ["2:1: unknown key 'mount'"]),
    "section is text": ("version: 1\npaths: /x", ["2:8: paths: expected a list, found the text"]),
    "section is one entry": ("version: 1\npaths: {path: /x}", ["2:8: paths: expected a list"]),
    "entry is text": (
        "version: 1\npaths: [/x]",
        ["2:9: paths, entry 1: expected `key: value` lines, found the text '/x'"],
    ),
    "yes": (P + "nocow: yes", ["4:12: nocow: expected true or false, found the text 'yes'"]),
    "capital True": (P + "nocow: True", ["4:12: nocow: expected true or false, found the text"]),
    "quoted true": (P + 'nocow: "true"', ["4:12: nocow: expected true or false, found the text"]),
    "one for true": (P + "nocow: 1", ["4:12: nocow: expected true or false, found the number 1"]),
    "misspelt key": (P + "nocow: true\n    compresion: none", ["5:5: unknown key 'compresion'"]),
    "existing": (
        P + "existing: leave",
        ["4:15: existing: expected report, keep or rewrite, found"],
    ),
    "existing false": (P + "existing: false", ["4:15: existing: expected report, keep or rewrite"]),
    "compression level": (
        P + "compression: zstd:3",
        ["4:18: compression: expected none, zstd, lzo"],
    ),
    "nocow compressed": (
        P + "nocow: true\n    compression: none",
        ["5:18: compression excludes nocow, set at f:4:12"],
    ),
    "nothing declared": (P + "existing: keep", ["3:11: nothing is declared for '/x'"]),
    "allow is text": (P + "nocow: true\n    allow: raid", ["5:12: allow: expected a list, found"]),
    "allow misspelt": (P + "allow: [riad]", ["4:13: allow, entry 1: expected raid, snapshots"]),
    "allow twice": (P + "allow: [raid, raid]", ["4:12: allow: 'raid' is there twice"]),
    "remove in the base": (P + "remove: true", ["4:5: unknown key 'remove'"]),
    "no path": ("version: 1\npaths: [{nocow: true}]", ["2:9: 'path' is missing"]),
    "path is a number": ("version: 1\npaths: [{path: 5}]", ["2:16: path: expected text, found"]),
    "relative path": (
        "version: 1\npaths: [{path: x, nocow: true}]",
        ["2:16: 'x' is not an absolute path"],
    ),
    "path twice": (
        "version: 1\npaths:\n- {path: ~/x, nocow: true}\n- {path: /home/me/x/, nocow: true}",
        ["4:10: '/home/me/x' is in paths twice, in lines 3 and 4"],
    ),
    "options are text": (M + "noatime", ["4:14: options: expected `key: value` lines, found"]),
    "options are a list": (M + "[noatime]", ["4:14: options: expected `key: value` lines, found"]),
    "no options": (M + "{}", ["4:14: options: nothing is declared here"]),
    "options forgotten": ("version: 1\nmounts: [{target: /}]", ["2:10: 'options' is missing"]),
    "option beside options": (
        "version: 1\nmounts:\n  - target: /\n    compress: no",
        ["3:5: 'options' is missing", "4:5: 'compress' is a mount option"],
    ),
    "target is a device": (
        "version: 1\nmounts: [{target: UUID=1, options: {ssd: true}}]",
        ["2:19: 'UUID=1' is not an absolute path"],
    ),
    "compress false": (M + "{compress: false}", [f"4:25: {LEVEL}false"]),
    "compress none": (M + "{compress: none}", [f"4:25: {LEVEL}the text 'none'"]),
    "zstd level 16": (M + "{compress: zstd:16}", [f"4:25: {LEVEL}the text 'zstd:16'"]),
    "zstd level 0": (M + "{compress: zstd:0}", [f"4:25: {LEVEL}the text 'zstd:0'"]),
    "zlib level 10": (M + "{compress: zlib:10}", [f"4:25: {LEVEL}the text 'zlib:10'"]),
    "lzo level": (M + "{compress: lzo:1}", [f"4:25: {LEVEL}the text 'lzo:1'"]),
    "two options in one": (M + "{compress: 'no,ro'}", [f"4:25: {LEVEL}the text 'no,ro'"]),
    "a line in an option": (M + '{compress: "no\\n"}', ["4:25: the text holds a line break"]),
    "compress-force no": (M + "{compress-force: no}", [f"4:31: {FORCE}the text 'no'"]),
    "both compress": (
        M + "{compress: no, compress-force: zstd}",
        ["4:45: compress-force and compress, set at f:4:25, override each other"],
    ),
    "both atime": (
        M + "{noatime: true, relatime: true}",
        ["4:40: relatime and noatime, set at f:4:24, override each other"],
    ),
    "discard": (M + "{discard: true}", ["4:24: discard: expected no, sync or async, found true"]),
    "commit 0": (M + "{commit: 0}", ["4:23: commit: expected a whole number from 1 to 300, found"]),
    "commit 301": (M + "{commit: 301}", ["4:23: commit: expected a whole number from 1 to 300"]),
    "commit 030": (M + "{commit: 030}", ["4:23: commit: expected a whole number from 1 to 300"]),
    "nodatacow": (M + "{nodatacow: true}", ["4:15: 'nodatacow' is not a tuning option"]),
    "subvol": (M + "{subvol: x}", ["4:15: 'subvol' is not a tuning option"]),
    "systemd option": (M + "{x-systemd.automount: true}", ["4:15: 'x-systemd.automount' is not"]),
    "opposite": (M + "{exec: true}", ["4:15: 'exec' is written as its opposite"]),
    "misspelt option": (M + "{noatme: true}", ["4:15: unknown mount option 'noatme'"]),
    "no schedule": ("version: 1\ndefrag: [{path: /x}]", ["2:10: 'schedule' is missing"]),
    "noon": (D + "noon", ["4:15: schedule: 'noon' is not a schedule"]),
    "minute 60": (D + '"60 * * * *"', ["4:15: schedule: "]),
    "schedule is a number": (D + "5", ["4:15: schedule: expected text, found the number 5"]),
    "cron and OnCalendar": (
        D + "Sun 03:00\n    scheduler: cron",
        ["4:15: cron cannot read the schedule 'Sun 03:00'"],
    ),
    "scheduler": (
        D + '"@daily"\n    scheduler: crond',
        ["5:16: scheduler: expected auto, systemd"],
    ),
    "hosts is a list": (H + "- a", ["3:3: hosts: expected `key: value` lines, found a list"]),
    "long host name": (H + "Atlas.lan: {}", ["3:3: hosts: expected a short host name"]),
    "host with an underscore": (H + "my_host: {}", ["3:3: hosts: expected a short host name"]),
    "host is text": (H + "a: b", ["3:6: a: expected `key: value` lines, found the text 'b'"]),
    "host in a host": (H + "a: {hosts: {}}", ["3:7: unknown key 'hosts'"]),
    "another host": (H + "other: {paths: [{path: 5}]}", ["3:26: path: expected text"]),
    "removed and changed": (
        H + "a: {paths: [{path: /x, remove: true, nocow: true}]}",
        ["3:15: `remove: true` stands beside other keys"],
    ),
    "remove false": (
        H + "a: {paths: [{path: /x, remove: false}]}",
        ["3:34: remove: expected true"],
    ),
    # What is taken for a configuration, or pasted into one.
    "no-break blanks": (
        "version: 1\npaths:\n\u00a0 - path: /x\n",
        ["2:1: 'paths' has no value", "3:1: unknown key '\\xa0 - path'"],
    ),
    "zero width blank": (
        "version: 1\npaths: [{path: /x\u200b, nocow: true}]",
        ["2:16: the text holds control character U+200B"],
    ),
    "typographic quotes": (
        D + "\u201c0 12 * * *\u201d",
        ["4:15: schedule: '\u201c0 12 * * *\u201d' holds a character that no schedule has"],
    ),
    "typographic path": (
        "version: 1\npaths: [{path: \u201c/x\u201d, nocow: true}]",
        ["2:16: '\u201c/x\u201d' is not an absolute path"],
    ),
    "typographic dash": ("version: 1\npaths:\n  \u2013 path: /x\n    nocow: true", ["4:10: "]),
    "full-width colon": ("version\uff1a 1", ["1:1: expected `key: value` lines, found the text"]),
    "capital key": ("Version: 1", ["1:1: unknown key 'Version'"]),
    "merge conflict": (
        "version: 1\n<<<<<<< HEAD\npaths: []\n=======\npaths: []\n>>>>>>> other",
        ["3:1: not readable as YAML"],
    ),
    "toml": ('version = 1\n[paths]\npath = "/x"', ["1:1: expected `key: value` lines, found"]),
    "a web page": ("<!DOCTYPE html>\n<html>404: Not Found</html>", ["2:10: not readable as YAML"]),
    "a vault": ("$ANSIBLE_VAULT;1.1;AES256\n66386439", ["1:1: expected `key: value` lines"]),
    "a large file's pointer": (
        "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12",
        ["1:1: expected `key: value` lines"],
    ),
    "a crontab": (
        "0 12 * * * btrfs filesystem defragment -r /home/$USER/libvirt/images",
        ["1:1: expected `key: value` lines"],
    ),
    "an fstab": (
        "UUID=a / btrfs defaults,subvol=@rootfs,compress=no 0 0",
        ["1:1: expected `key: value` lines"],
    ),
    "options of fstab": (
        M + "defaults,compress=no",
        ["4:14: options: expected `key: value` lines"],
    ),
    "no blank after the dash": (
        "version: 1\npaths:\n  -path: /x",
        ["3:3: paths: expected a list, found"],
    ),
    "all at once": (
        P + "nocow: yes\n  - path: y\n  - nocow: 1\n    pth: /z\ndefrag: 3\nnope: 1",
        [
            "4:12: nocow: expected true or false",
            "5:11: 'y' is not an absolute path",
            "6:12: nocow: expected true or false",
            "7:5: unknown key 'pth'",
            "8:9: defrag: expected a list",
            "9:1: unknown key 'nope'",
        ],
    ),
}


def refused(text: str) -> ConfigErrors:
    with pytest.raises(ConfigErrors) as caught:
        load(text.encode(), "f", host="a", home_of=HOMES.get)
    return caught.value


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile(name: str) -> None:
    text, expected = HOSTILE[name]
    found = [str(problem) for problem in refused(text).problems]
    assert len(found) == len(expected), found
    for message, beginning in zip(found, expected, strict=True):
        assert message.startswith(f"f:{beginning}")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("paths: []", "the first line to write is `version: 1`"),
        ('version: "1"', "remove the quotes"),
        ("verson: 1", "did you mean 'version'?"),
        (P + "nocow: yes", "write true"),
        (P + "nocow: off", "write false"),
        (P + "existing: kept", "did you mean 'keep'?"),
        (M + "{compress: false}", "write `compress: no`"),
        *((M + f"{{compress: {word}}}", "write `compress: no`") for word in OFF),
        *((M + f"{{compress-force: {word}}}", "write `compress: no`") for word in ("no", "none")),
        *((M + f"{{compress: {word}}}", "") for word in ("yes", "true", "lz4", "ZSTD", "lzo:1")),
        (M + '{compress: ""}', ""),
        (M + "{compress: zstd:fast}", ""),
        (M + "{compress: zstd:03}", "write `zstd:3`"),
        (M + "{compress: zlib:0}", "the kernel changes any other level without saying so"),
        (M + "{compress-force: zlib:10}", "the kernel changes any other level without saying so"),
        (M + "{exec: true}", "write `noexec: false`"),
        (M + "{atime: false}", "write `noatime: true`"),
        (M + "{nodiscard: false}", "write `discard: async`"),
        (M + "{discard: off}", "write `discard: no`"),
        (M + "{discard: false}", "write `discard: no`"),
        (P + "compression: no", "write `compression: none`"),
        (P + "compression: off", "write `compression: none`"),
        (P + "compression: false", "write `compression: none`"),
        (M + "{autodefrag: none}", "write false"),
        (M + "{compress: zstd:16}", "the kernel changes any other level without saying so"),
        (M + "{user-subvol-rm-allow: true}", "did you mean 'user_subvol_rm_allowed'?"),
        (M + "{nodatacow: true}", "write `nocow: true` for a directory under paths"),
        (M + "{commit: 030}", "no leading zeros"),
        (H + "Atlas.lan: {}", "write 'atlas'"),
        ("version: 1\npaths: /x", "begin each entry with `- path: `"),
        ("version: 1\nmounts: [{target: 5}]", 'write "5", in quotes'),
    ],
)
def test_hint_says_what_to_write(text: str, hint: str) -> None:
    assert hint in [problem.hint for problem in refused(text).problems]


def schemas(part: Any) -> Iterator[dict[str, Any]]:
    if isinstance(part, dict):
        yield part
        for child in part.values():
            yield from schemas(child)


def test_the_schema_is_one() -> None:
    from jsonschema import Draft202012Validator  # noqa: PLC0415

    Draft202012Validator.check_schema(load_schema())


def test_every_key_is_described() -> None:
    definitions = load_schema()["$defs"]
    for part in schemas(load_schema()):
        for key, schema in part.get("properties", {}).items():
            described = definitions.get(schema.get("$ref", "").removeprefix("#/$defs/"), schema)
            assert described.get("description", "").endswith("."), key


def test_every_keyword_has_words() -> None:
    """A keyword that reconciler.config.check does not know would fail there."""
    spoken = "type enum const pattern required additionalProperties minimum maximum uniqueItems"
    silent = (
        "$schema $defs $ref title description default examples patternErrorMessage errorMessage"
    )
    known = {*spoken.split(), *silent.split(), "properties", "items", "propertyNames", "if", "then"}
    known |= {"minProperties", "maxProperties"}
    names = {*load_schema()["$defs"]}
    for part in schemas(load_schema()):
        names |= {*part.get("properties", {})}
    assert {key for part in schemas(load_schema()) for key in part} <= known | names


def test_the_command_line_accepts_the_risks_of_the_file() -> None:
    assert list(cli.RISKS) == load_schema()["$defs"]["allow"]["items"]["enum"]


def test_the_options_of_the_schema_are_tuned_and_no_other() -> None:
    there = {*load_schema()["$defs"]["options"]["properties"]}
    assert there == {*options._OPTIONS}
    assert there.isdisjoint(options.REFUSED)


def test_the_value_that_turns_an_option_on_is_one_of_its_schema() -> None:
    """``compress: no`` turns off, and so does ``noatime: false``; what is said is one that fits."""
    for key, of in load_schema()["$defs"]["options"]["properties"].items():
        _, hint = options.refusal(options.negated(key)) or ("", "")
        found = follow(of)
        is_flag = found.get("type") == "boolean"
        assert not hint or hint == f"write `{key}: {'false' if is_flag else 'no'}`"


@pytest.mark.parametrize("section", DEFAULTS)
def test_defaults_are_the_schemas(section: str) -> None:
    entry = follow(follow(load_schema()["properties"][section])["items"])
    for key, schema in entry["properties"].items():
        if "default" in follow(schema):
            assert DEFAULTS[section][key] == follow(schema)["default"]


def follow(schema: dict[str, Any]) -> dict[str, Any]:
    """A part of the schema, through its reference."""
    name = schema.get("$ref", "").removeprefix("#/$defs/")
    return dict(load_schema()["$defs"][name]) if name else schema
