"""Texts that several folders read: text to value, keeping every byte not changed."""
