"""Measurements with long histories, bounded in time, in addition to the tests (`make soak`)."""
