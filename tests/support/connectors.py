"""The connectors that register their app with Facebook; others may be of another vendor."""

from __future__ import annotations

from runbook_lib.connectors.facebook.inputs import FACEBOOK
from runbook_lib.connectors.provider import vendor_of
from runbook_lib.connectors.registry import connector_names, find_procedure

FACEBOOK_CONNECTORS = tuple(
    name for name in connector_names() if vendor_of(find_procedure(name)) is FACEBOOK
)
