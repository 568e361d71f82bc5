"""Values to text, HTML and JSON; never prints."""
