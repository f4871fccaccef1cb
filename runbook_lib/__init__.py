"""The Facebook Marketing runbook: prove each step of embedding the connector."""
