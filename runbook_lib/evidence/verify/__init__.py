"""Verifying sealed evidence offline."""
