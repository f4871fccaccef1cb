"""The state of the two sandboxed systems."""
