"""Whole runs: the command line, papermill, real kernels, the sandbox over real HTTP."""
