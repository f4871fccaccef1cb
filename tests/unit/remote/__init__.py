"""Clients of the remote systems, against scripted answers."""
