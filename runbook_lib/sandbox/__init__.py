"""
The two remote systems on loopback: Facebook and Cyclr, for practice and for tests.

Written from what the public record says that the real systems answer, never
from the clients in this package: the sandbox shares no code with them. Beside
each answer in the code stands its origin; `/_sandbox/fidelity` lists what is
inferred or unknown.

    with Sandbox("approved") as sandbox:
        httpx.get(f"{sandbox.description['graph_url']}/v26.0/me")

Scenarios are states of a `World`: no handler knows their names. Sites are
functions from `Request` to `Reply`; `asgi` and `server` alone know sockets.

The OAuth dialog redirects programs with the exact 302. A request that accepts
`text/html` is a browser's: where it would go to the service domain, which it
cannot resolve, it gets a page that leads to the same address on loopback.
"""
