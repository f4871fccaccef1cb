"""Documented procedures as data, one module each."""
