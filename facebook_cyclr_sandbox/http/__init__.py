"""HTTP for the sandbox: server, routing, pages, faults on the wire."""
