"""Checks that ask Cyclr, shared by connectors."""
