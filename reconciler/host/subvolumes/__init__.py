"""A path made a subvolume: created, or a directory turned into one with nothing lost."""
