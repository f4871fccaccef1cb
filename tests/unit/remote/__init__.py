"""Tests of the clients of the remote systems, with scripted responses."""
