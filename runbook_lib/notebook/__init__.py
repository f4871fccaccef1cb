"""The calls of a notebook's cells, and how a step and a run look in an executed notebook."""
