"""Keys, signed statements and time-stamps."""
