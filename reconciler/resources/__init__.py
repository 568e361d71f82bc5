"""One folder for each kind of resource: kind.py and places.py are pure."""
