"""The evidence of a run for other people: record and bundle."""
