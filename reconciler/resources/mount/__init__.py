"""Mount options of a Btrfs filesystem, in /etc/fstab and live."""
