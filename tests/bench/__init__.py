"""How fast the sandbox answers, and what it holds: measured and printed, never asserted."""
