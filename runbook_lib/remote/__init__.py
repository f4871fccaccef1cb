"""Clients of the remote systems; every request goes through `transport`."""
