"""Documented procedures, and the checks that prove their steps."""

# The connector where none is named.
DEFAULT = "facebook_marketing"
