"""vmtune.yaml: YAML text to valid, positioned, merged declarations."""

from __future__ import annotations

from reconciler.config.load import load, load_all_hosts

__all__ = ["load", "load_all_hosts"]
