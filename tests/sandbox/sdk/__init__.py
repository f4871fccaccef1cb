"""
Real third-party clients against the sandbox, over loopback: what they report.

Only the address that each client uses is changed:

* `facebook-business` (Python): the class attribute `FacebookSession.GRAPH`, which holds the
  Graph URL, names the sandbox; the crash reporter is off (`crash_log=False`), as it would
  change `sys.excepthook` of the whole test run. Version, paths, parameters, cursors, batches
  and proofs are the SDK's own.
* `httpx-oauth`: `authorize_endpoint` and `access_token_endpoint` of the client, and the
  module's `PROFILE_ENDPOINT`, keep their paths (including the old `v5.0`); only scheme and
  host are the sandbox's.
* `Authlib`: `OAuth2Session` takes both endpoints as arguments, as for any provider without
  metadata; `client_secret_post` is the method that Facebook supports.
* `facebook-nodejs-business-sdk`: the getter `FacebookAdsApi.GRAPH` is redefined to return
  the sandbox's address; the crash reporter is off. The version stays the SDK's (`v24.0`).
"""
