"""Copies of sealed evidence in a folder or an object store."""
