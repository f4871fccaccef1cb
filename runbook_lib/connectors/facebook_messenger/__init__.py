"""The documented procedure for Cyclr's Facebook Messenger API connector."""

_IN_CYCLR = (
    "cy-03-client-secret",
    "cy-04-scopes",
    "cy-05-verify-token",
    "test-02-authenticate",
)
_NOT_APPROVED = ("attestation fb-10d-app-review",)
_AFTER_REVIEW = (*_NOT_APPROVED, "fb-10e-publish", *_IN_CYCLR)
_FROM_TEST_CALLS = ("fb-10a-test-calls", "fb-10d-app-review")

_UNCHECKED = ("fb-08-redirect-uri", *_NOT_APPROVED)

# Scenario → attestations of `practice/attestations.toml` that it leaves out: a step, or one kind or
# answer of it; "" leaves out all.
UNSAID = {
    "app-domains-only": ("fb-08-redirect-uri",),
    "fresh": ("",),
    "not-published": ("fb-10e-publish",),
    "partly-declined": (*_NOT_APPROVED, *_IN_CYCLR),
    "permission-missing": _NOT_APPROVED,
    "renewal-expired": ("attestation fb-10c-data-access-renewal asked",),
    "renewal-due": (
        "attestation fb-10c-data-access-renewal done",
        "fb-10d-app-review",
        *_AFTER_REVIEW,
    ),
    "review-declined": _AFTER_REVIEW,
    "review-pending": _AFTER_REVIEW,
    "system-user": ("attestation test-07-ask-token-kind done",),
    "tech-provider-pending": ("attestation fb-05b-access-verification",),
    "test-calls-missing": (*_FROM_TEST_CALLS, *_AFTER_REVIEW),
    "rate-limited": _UNCHECKED,
    "unknown-app": _UNCHECKED,
    "use-case-missing": ("fb-04a-use-case", *_FROM_TEST_CALLS, *_AFTER_REVIEW),
    "wrong-secret": _UNCHECKED,
}

# Scenario → attestations that only it has.
SAID_ONLY_IN = {"system-user": ("attestation test-07-ask-token-kind system-user",)}

# Scenario → days between an attestation and Monday of last week, if they differ from the default.
SAID_AGO = {"renewal-expired": {"renewed": 400}}
