"""
The two remote systems on loopback: Facebook and Cyclr, for practice and for tests.

Written from what the public record says that the real systems answer, never
from the clients in this package: the sandbox shares no code with them. Start
it with `runbook_lib.sandbox.server`.
"""
