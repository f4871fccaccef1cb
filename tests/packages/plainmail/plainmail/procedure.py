"""The procedure of the Plainmail connector, from the texts in this folder."""

from __future__ import annotations

from pathlib import Path

from plainmail import checks
from plainmail.inputs import INPUTS, PROVIDERS
from runbook_lib.connectors.cyclr import cyclr_steps as cyclr
from runbook_lib.connectors.texts import read_procedure

PROCEDURE = read_procedure(
    Path(__file__).parent,
    checks,
    providers=PROVIDERS,
    shared=(cyclr.SHARED,),
    inputs=INPUTS,
)
