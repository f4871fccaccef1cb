"""A pytest plugin: papermill's default engine is the fork engine."""

from __future__ import annotations

from papermill.engines import papermill_engines

from runbook_lib.fork_engine import ForkEngine

papermill_engines.register(None, ForkEngine)
