"""Documented procedures, and the checks that prove their steps."""
