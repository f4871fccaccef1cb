"""The connector of Plainmail, an invented company, in a package of its own."""

UNSAID = {"fresh": ("",)}
SAID_AGO: dict[str, dict[str, int]] = {}
