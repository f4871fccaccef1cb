"""
Cyclr's API host: who calls, in which account, and to which handler it goes.
"""

from runbook_lib.sandbox.cyclr.api import ApiCall, accounts_router, issue_token
from runbook_lib.sandbox.cyclr.installed import installed_router
from runbook_lib.sandbox.cyclr.shapes import CyclrError
from runbook_lib.sandbox.http.web import Reply, Request
from runbook_lib.sandbox.origins import inferred, unknown, verbatim
from runbook_lib.sandbox.state.cyclr_world import Account, ApiToken
from runbook_lib.sandbox.state.world import World

__all__ = ["CyclrApiSite"]

_DENIED = "Authorization has been denied for this request."
_ROUTERS = (accounts_router, installed_router)


class CyclrApiSite:
    """api.cyclr.com of the sandbox."""

    name = "cyclr-api"

    def __init__(self, world: World) -> None:
        self._world = world

    def __call__(self, request: Request) -> Reply:
        """Answer one request."""
        try:
            if request.is_oversized:
                raise CyclrError(413, "The request is too large.")
            return self._answer(request)
        except CyclrError as error:
            return error.reply()

    @unknown("cyclr §3", "404 and 405 for an unknown path and method: their Messages")
    def _answer(self, request: Request) -> Reply:
        if request.path.rstrip("/").lower() == "/oauth/token" and request.method == "POST":
            return issue_token(self._world, request)
        method = "GET" if request.method == "HEAD" else request.method
        for router in _ROUTERS:
            found = router.match(method, request.path)
            if found is not None:
                handler, blanks = found
                return handler(self._call(request), **blanks)
        if any(router.methods_at(request.path) for router in _ROUTERS):
            message = f"The requested resource does not support http method '{request.method}'."
            raise CyclrError(405, message)
        raise CyclrError(404, "No HTTP resource was found that matches the request URI.")

    def _call(self, request: Request) -> ApiCall:
        token = self._token(request)
        return ApiCall(self._world, request, token, self._account(request, token))

    @inferred("cyclr §3", "no or a bad token: 401 with ASP.NET's Message")
    def _token(self, request: Request) -> ApiToken:
        kind, _, value = request.headers.get("authorization", "").partition(" ")
        token = self._world.cyclr.tokens.get(value.strip())
        if kind.lower() != "bearer" or token is None or token.expires_at <= self._world.now():
            raise CyclrError(401, _DENIED, (("WWW-Authenticate", "Bearer"),))
        return token

    @verbatim("cyclr §3", "an empty X-Cyclr-Account: 401 on account calls", "test suite")
    @unknown("cyclr §3", "a missing header, an unknown account, another account's token: 401 too")
    @inferred("cyclr §3", "an account's own token needs no header")
    def _account(self, request: Request, token: ApiToken) -> Account | None:
        named = request.headers.get("x-cyclr-account")
        account_id = token.account_id if named is None else named.strip()
        if token.account_id not in {"", account_id}:
            return None
        return self._world.cyclr.accounts.get(account_id)
