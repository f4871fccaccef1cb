"""
A papermill engine: IPython in a child forked from this process, instead of a kernel and sockets.

Knows nothing of runbooks. `papermill --engine fork` finds it by its entry
point; whoever calls from a process with threads starts a `Child` before them:

    child = start_child()
    papermill.execute_notebook(source, output, engine_name="fork", child=child)
"""

from __future__ import annotations

from runbook_lib.fork_engine.child import Child, start_child
from runbook_lib.fork_engine.engine import ForkEngine

__all__ = ["Child", "ForkEngine", "start_child"]
