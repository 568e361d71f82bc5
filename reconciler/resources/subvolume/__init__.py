"""Directories of images that are subvolumes of their own."""
