"""Defragmentation: regularly by a schedule, or now."""
