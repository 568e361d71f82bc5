"""The functions of the Ansible collection that make the text of a vmtune.yaml."""

import importlib.util
from pathlib import Path
from typing import Any

COLLECTION = Path(__file__).parents[1] / "integrations" / "ansible"


def declared() -> Any:
    """Load the module, which Ansible finds by a name that is no package here."""
    path = COLLECTION / "plugins" / "module_utils" / "declared.py"
    spec = importlib.util.spec_from_file_location("declared", path)
    assert spec
    assert spec.loader
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made
