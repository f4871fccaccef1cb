"""
The two remote systems on loopback: Facebook and Cyclr, for practice and for tests.

We wrote it from public sources about the real systems, never from the clients that talk to it: see
README.md. Handlers name the source of their responses; `fidelity.toml` lists the inferred and
unknown ones.

Scenarios are states of a `SandboxState`: no handler knows their names. A site
answers a `WebRequest` with a `WebResponse`; `asgi` and `server` alone know sockets.

The OAuth dialog redirects programs with the exact 302. A browser (a request that
accepts `text/html`) cannot resolve the service domain: it gets a page that links
to the same address on loopback instead.
"""

from facebook_cyclr_sandbox.scenarios import SCENARIOS
from facebook_cyclr_sandbox.server import Sandbox

# For callers a verb: it serves as long as its `with` block lasts.
serve = Sandbox

__all__ = ["SCENARIOS", "serve"]
