"""A step's two readings: built into a notebook, shown in JupyterLab or run by papermill."""

from runbook_lib.notebook.session import open_run

__all__ = ["open_run"]
