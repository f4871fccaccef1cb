"""The documented procedure of Cyclr's Facebook Marketing connector, from texts in this folder."""

from __future__ import annotations

from pathlib import Path

from runbook_lib.connectors.cyclr import cyclr_steps as cyclr
from runbook_lib.connectors.facebook import facebook_steps as facebook
from runbook_lib.connectors.facebook_marketing import checks
from runbook_lib.connectors.facebook_marketing.inputs import INPUTS, PROVIDERS
from runbook_lib.connectors.texts import read_procedure

PROCEDURE = read_procedure(
    Path(__file__).parent,
    checks,
    providers=PROVIDERS,
    shared=(cyclr.SHARED, facebook.SHARED),
    inputs=INPUTS,
)
