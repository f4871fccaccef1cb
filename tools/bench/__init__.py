"""The sandbox's speed and memory: measured and printed, never asserted."""
