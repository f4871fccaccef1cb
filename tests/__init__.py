"""The tests; each one's docstring states the promise that it keeps."""
