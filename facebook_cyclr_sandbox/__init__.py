"""
The two remote systems on loopback: Facebook and Cyclr, for practice and for tests.

We wrote it from public sources about the real systems, never from the clients that talk to it: see
README.md. Handlers name the source of their responses; `fidelity.toml` lists the inferred and
unknown ones.

A scenario is one `SandboxState`: no handler knows its name. A site responds to a `WebRequest` with
a `WebResponse`. Only `asgi` and `server` know sockets.

The OAuth dialog redirects programs with the exact 302. A browser (a request that accepts
`text/html`) cannot resolve the service domain. It gets a page that links to the same address on
loopback instead.
"""

from facebook_cyclr_sandbox.scenarios import SCENARIOS
from facebook_cyclr_sandbox.server import Sandbox

# A verb for callers: it serves as long as its `with` block lasts.
serve = Sandbox

__all__ = ["SCENARIOS", "serve"]
