"""What is left of a run for others to read: record and bundle."""
