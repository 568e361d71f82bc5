"""Directories whose new files are compressed in their own way, or not at all."""
