"""What is asked of a host, as values: pure, and shared by all kinds."""
