"""fstab, mounts, units, cron and the like: the places of the system as a whole."""
