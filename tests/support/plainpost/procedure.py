"""The connector's procedure."""

from __future__ import annotations

from pathlib import Path

from runbook_lib.connectors.plainpost import checks  # type: ignore[import-not-found]
from runbook_lib.connectors.plainpost.inputs import (  # type: ignore[import-not-found]
    INPUTS,
    PROVIDERS,
)

from runbook_lib.connectors.cyclr.cyclr_steps import SHARED
from runbook_lib.connectors.texts import read_procedure

PROCEDURE = read_procedure(
    Path(__file__).parent, checks, providers=PROVIDERS, shared=(SHARED,), inputs=INPUTS
)
