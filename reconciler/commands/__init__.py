"""What each command does: rooms put together, an exit code returned."""
