"""
The two remote systems on loopback: Facebook and Cyclr, for practice and for tests.

Written from public sources about what the real systems answer, never from the
clients in this package: the sandbox shares no code with them. Each answer is
marked in the code with its source; `/_sandbox/fidelity` lists what is inferred
or unknown.

    with Sandbox("approved") as sandbox:
        httpx.get(f"{sandbox.description['graph_url']}/v26.0/me")

Scenarios are states of a `World`: no handler knows their names. Sites are
functions from `Request` to `Reply`; `asgi` and `server` alone know sockets.

The OAuth dialog redirects programs with the exact 302. A browser (a request that
accepts `text/html`) cannot resolve the service domain: it gets a page that links
to the same address on loopback instead.
"""
