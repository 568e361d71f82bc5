"""What Ansible found, as a line of JSON for each task on each host, for tests."""

import json
import os

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: lines
type: aggregate
short_description: results as lines of JSON
description: Written to the file that $LINES names.
"""


class CallbackModule(CallbackBase):
    """Writes each result as it comes."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "lines"

    def _write(self, state, result):
        line = {
            "host": result._host.get_name(),
            "task": result._task.action,
            "state": state,
            "result": result._result,
        }
        with open(os.environ["LINES"], "a", encoding="utf-8") as file:
            file.write(json.dumps(line, default=str) + "\n")

    def v2_runner_on_ok(self, result):
        self._write("ok", result)

    def v2_runner_on_failed(self, result, ignore_errors=False):
        self._write("failed", result)

    def v2_runner_on_unreachable(self, result):
        self._write("unreachable", result)

    def v2_runner_on_skipped(self, result):
        self._write("skipped", result)
