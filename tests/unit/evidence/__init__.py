"""Tests of records and bundles."""
