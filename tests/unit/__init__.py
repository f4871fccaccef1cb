"""Unit tests, laid out as `runbook_lib` is."""
