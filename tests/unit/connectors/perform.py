"""Performs each check of Facebook's connectors as a run does, against scripted responses."""

from __future__ import annotations

import pytest

from tests.unit.connectors.facebook_case import CASE

# Connectors share checks: each once.
CHECKS = CASE.checks
perform = CASE.perform
perform_whole = CASE.perform_whole
# Each minimal response of each check, for a test of its own.
BY_NAME = [
    pytest.param(check, minimal, id=f"{check.id}-{number}")
    for check, number, minimal in CASE.minimal_exchanges()
]
