"""PyYAML with patterns that are compiled late is PyYAML."""

from __future__ import annotations

import subprocess
import sys

LOOK = """\
import re, sys
from reconciler.config.pyyaml import Late, pyyaml
yaml = pyyaml()
modules = [module for name, module in sys.modules.items() if name.partition(".")[0] == "yaml"]
classes = {of for module in modules for of in vars(module).values() if isinstance(of, type)}
values = [value for of in (*modules, *classes) for value in vars(of).values()]
for of in classes:
    for listed in vars(of).get("yaml_implicit_resolvers", {}).values():
        values += [pattern for _, pattern in listed]
late = {id(value): value for value in values if isinstance(value, Late)}.values()
for pattern in late:
    given, named = pattern._given
    now = re.compile(*given, **named)
    assert (pattern.pattern, pattern.flags) == (now.pattern, now.flags)
print(len(late), re.compile.__name__)
print(yaml.safe_load("{a: 2026-11-26, b: 1_000, c: 0x1f, d: 1.5e+3, e: yes, f: ~, g: é, h: 1:30}"))
try:
    yaml.safe_load("a: \\x01")
except yaml.YAMLError as error:
    print(type(error).__name__)
"""


def test_what_is_compiled_late_does_the_same() -> None:
    done = subprocess.run([sys.executable, "-c", LOOK], capture_output=True, text=True, check=True)

    patterns, values, error = done.stdout.splitlines()
    number, compiling = patterns.split()
    assert compiling == "compile"
    assert int(number) >= 10
    assert values == (
        "{'a': datetime.date(2026, 11, 26), 'b': 1000, 'c': 31, 'd': 1500.0, 'e': True, "
        "'f': None, 'g': 'é', 'h': 90}"
    )
    assert error == "ReaderError"
