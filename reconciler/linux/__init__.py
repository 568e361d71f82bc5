"""The host: one module for each man page or header."""
