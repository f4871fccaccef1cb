"""The shared part of all connectors at Cyclr: this folder's texts, and its modules' checks."""

from __future__ import annotations

from pathlib import Path

from runbook_lib.connectors.cyclr import connector, service_domain
from runbook_lib.connectors.texts import read_part

SHARED = read_part(Path(__file__).parent, connector, service_domain)
