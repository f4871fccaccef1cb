"""The pages that tell of runs."""
