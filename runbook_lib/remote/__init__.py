"""Clients of remote systems; every request goes through `check_session` and `client`."""
