"""Doing a plan, saved plans, and the journal."""
