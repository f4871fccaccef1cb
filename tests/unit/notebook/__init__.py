"""A step's two readings: built, shown and run."""
