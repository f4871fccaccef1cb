"""Cyclr in the sandbox: API, console, sign-in link and callback."""
