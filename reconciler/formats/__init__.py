"""Texts that several rooms read: text to value, keeping every byte not changed."""
