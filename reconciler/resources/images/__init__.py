"""Images that are there already, and how they are written anew."""
