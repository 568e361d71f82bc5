"""Images written anew: which are not as wanted, and each given a new file in one exchange."""
