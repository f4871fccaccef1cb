"""The pages that people see, in a real Chromium: the sandbox's, and JupyterLab's."""
