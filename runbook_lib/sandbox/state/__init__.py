"""What the two sandboxed systems remember."""
