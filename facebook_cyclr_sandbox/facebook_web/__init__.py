"""The Facebook pages of the sandbox: consent dialog and App Dashboard."""
