"""Places, plans and their order: knows no kind of resource by name."""
