"""Documented procedures as data."""
