"""Texts and headers that several folders read: to values, keeping every byte not changed."""
