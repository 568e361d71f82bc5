"""The kernel's own words: system calls and ioctls, one module for each man page or header."""
