"""Who called, from where, and what may be trusted; files written in the caller's name."""
