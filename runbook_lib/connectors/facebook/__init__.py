"""Checks that ask Facebook, shared by connectors."""
