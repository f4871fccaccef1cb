"""
Real third-party clients against the sandbox, over loopback: what they report.

Only the address that each client uses is changed:

* `facebook-business` (Python): the class attribute `FacebookSession.GRAPH`, which holds the
  Graph URL, names the sandbox; the crash reporter is off (`crash_log=False`), as it would
  change `sys.excepthook` of the whole test run. Version, paths, parameters, cursors and proofs
  are the SDK's own.
* `httpx-oauth`: `authorize_endpoint` and `access_token_endpoint` of the client, and the
  module's `PROFILE_ENDPOINT`, keep their paths (including the old `v5.0`); only scheme and
  host are the sandbox's.
"""
