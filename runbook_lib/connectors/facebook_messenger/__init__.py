"""The documented procedure for Cyclr's Facebook Messenger API connector."""

__all__ = ["PRACTICE"]

# What people have said by then, in scenarios where that is not all of it: a file in `practice/`.
PRACTICE = {"fresh": "", "review-pending": "submitted.toml", "review-declined": "submitted.toml"}
