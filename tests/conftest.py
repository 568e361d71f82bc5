"""What all tests share: under CI the same examples every time, elsewhere new ones."""

from __future__ import annotations

import compileall
import os
import signal
from pathlib import Path

from hypothesis import HealthCheck, settings

# The time that an example may take is none of these tests' business: others run beside them.
settings.register_profile("here", deadline=None)
settings.register_profile(
    "ci",
    deadline=None,
    derandomize=True,
    print_blob=True,
    # These judge how examples are made, on a busy machine differently each time.
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
settings.load_profile("ci" if os.environ.get("CI") else "here")

# A shell's background job ignores ctrl-C, one of nohup(1) the end of the terminal, and so would
# every program that is started from here.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# As root vmtune leaves no compiled files behind: each of some hundred runs would compile it anew.
compileall.compile_dir(Path(__file__).parents[1] / "reconciler", quiet=1)
