"""What each command does: it calls the other folders and returns an exit code."""
