"""What stands beside the schema of vmtune.yaml and must follow each of its keys."""

import json
from pathlib import Path

from tests.declared import declared

SCHEMA = Path(__file__).parents[2] / "schemas" / "vmtune.schema.json"


def properties(schema: dict) -> dict[str, list[dict]]:
    """Each key of vmtune.yaml with the schemas that it has anywhere."""
    found: dict[str, list[dict]] = {}

    def walk(node):
        if isinstance(node, dict):
            for name, of in node.get("properties", {}).items():
                kind = of if "$ref" not in of else schema["$defs"][of["$ref"].rpartition("/")[2]]
                found.setdefault(name, []).append(kind)
            for each in node.values():
                walk(each)
        elif isinstance(node, list):
            for each in node:
                walk(each)

    walk(schema)
    return found


def test_its_keys_are_those_of_the_schema():
    keys = properties(json.loads(SCHEMA.read_text()))

    def of(test):
        return {name for name, kinds in keys.items() if any(map(test, kinds))}

    def takes_no(kind):
        return "no" in kind.get("enum", []) or kind.get("pattern", "").startswith("^(no|")

    def is_boolean(kind):
        return kind.get("type") == "boolean" or kind.get("const") is True

    def is_integer(kind):
        return kind.get("type") == "integer" or kind.get("const", True) is not True

    assert of(is_boolean) == declared().BOOLEANS
    assert of(is_integer) == declared().INTEGERS
    assert of(takes_no) == declared().NO_IS_A_WORD
