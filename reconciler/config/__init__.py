"""vmtune.yaml: bytes to nodes, checked, merged for one host, and made items."""
