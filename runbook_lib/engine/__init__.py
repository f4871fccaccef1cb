"""Performs a procedure: runs, checks, headless execution, practice."""
