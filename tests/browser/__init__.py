"""The pages of the sandbox and of JupyterLab in Chromium."""
