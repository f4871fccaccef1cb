"""The interactive walkthrough: one panel for each step."""
