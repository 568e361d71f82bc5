"""A directory and what lies below it: attributes, looking at every file, how images lie."""
