"""The collection, judged by the tools of its ecosystem; no host is needed."""

import os
import re
import shutil
import subprocess
import sys

import pytest
import yaml

from tests.fleet.nodes import CHECKOUT, TOOLS, program

COLLECTION = CHECKOUT / "integrations" / "ansible"
