"""Directories whose new files are written in place (chattr +C)."""
