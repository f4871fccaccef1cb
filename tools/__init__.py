"""Tools that measure, disturb and count the runbook; not in the wheel."""
