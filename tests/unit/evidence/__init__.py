"""What is left of a run: record and bundle."""
