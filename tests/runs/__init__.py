"""Whole runs: the command line, papermill, real kernels, and the sandbox over HTTP."""
