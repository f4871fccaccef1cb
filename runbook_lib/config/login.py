"""
Who is logged in, where a server knows: kept beside the name that a person gives.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from runbook_lib.config.settings import visible

# NOTE: JupyterHub sets it for each user's server, and so for its kernels.
_VARIABLE = "JUPYTERHUB_USER"
_LONGEST = 200


def logged_in(environ: Mapping[str, str] = os.environ) -> str:
    """Return the name by which JupyterHub knows this user; empty without one that can be shown."""
    try:
        return visible(environ.get(_VARIABLE, ""), longest=_LONGEST)
    except ValueError:
        return ""
