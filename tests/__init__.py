"""The tests; each one's docstring states the promise that the product keeps."""
