"""Long histories, measured: bounded, beside the tests, not instead of them (`make soak`)."""
