"""Keys, signed statements, time-stamps and the succession of keys."""
