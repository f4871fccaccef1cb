"""A pytest plugin: papermill's default engine is the fork engine."""

from __future__ import annotations

from papermill.engines import papermill_engines

from runbook_lib.fork_engine import ForkEngine
from runbook_lib.fork_engine import child as child_module

papermill_engines.register(None, ForkEngine)
# The threads of pytest-xdist only wait for its next message.
child_module._is_single = lambda: True
