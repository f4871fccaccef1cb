"""The layers of the product, from low to high."""

from __future__ import annotations

PACKAGE = "runbook_lib"
SANDBOX = "facebook_cyclr_sandbox"


# From low to high; a folder is one layer, and its files have no circular imports either.
LAYERS = (
    "text",
    "errors",
    "core",
    "config",
    "remote",
    "run",
    "evidence",
    "connectors",
    "engine",
    "operations",
    "walkthrough",
    "notebook",
    "api",
    "cli",
)
