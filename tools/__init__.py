"""What those who work on the runbook use to measure, disturb and count it; not in the wheel."""
