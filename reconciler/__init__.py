"""vmtune: Btrfs tuned for virtual machine images, declared in one file."""

__version__ = "0.1.0"
