"""Is this file, or anything in this directory, in use; and by whom: the one room that knows.

``look.py`` answers. What it knows of, and what no interface of the kernel tells, is the table
"In use" in docs/design.md.
"""
