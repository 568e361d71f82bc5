"""What a host costs the control node can be measured."""

import os
import re
import subprocess
import sys

from tests.documents import as_typed
from tests.fleet.nodes import CHECKOUT, program


def test_it_says_so():
    program("ansible", "ansible-playbook")
    line = as_typed("python -m tests.fleet.cost", "python -m tests.fleet.cost 1 2")
    env = {**os.environ, "PATH": f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"}
    done = subprocess.run(
        line.split(), cwd=CHECKOUT, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    said = [row.partition(": ")[0] for row in done.stdout.splitlines()]
    assert said == ["--check", "apply"], done.stdout
    assert len(re.findall(r"MiB at most with 2 hosts", done.stdout)) == 2
