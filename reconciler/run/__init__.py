"""Doing a plan, saved plans, and the journal."""

import reconciler.resources.registry  # noqa: F401 - records name places of every kind
