"""How long a test waits for what comes at once: the factor is for machines that are slow."""

import os

FACTOR = float(os.environ.get("VMTUNE_TEST_PATIENCE", "1"))
SECONDS = 60 * FACTOR
"""What has not come by then does not come."""
