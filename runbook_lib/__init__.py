"""The Facebook Marketing runbook: prove each step of embedding the connector."""

from runbook_lib import lean_imports as lean_imports  # before anything else of this package
