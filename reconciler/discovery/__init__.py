"""What ``init`` suggests and ``doctor`` finds."""
