"""The documented procedure for Cyclr's Facebook Marketing API connector."""

_IN_CYCLR = ("cy-03-client-secret", "test-02-authenticate")
_NOT_APPROVED = ("attestation fb-12-submit-review",)
_AFTER_REVIEW = (*_NOT_APPROVED, "fb-12a-publish", *_IN_CYCLR)
_FROM_TEST_CALLS = (
    "fb-09a-test-calls",
    "fb-10-public-profile",
    "fb-11-permissions",
    "fb-12-submit-review",
)

_UNCHECKED = ("fb-08-redirect-uri", *_NOT_APPROVED)

# Scenario → attestations of `practice/attestations.toml` that it leaves out: a step, or one kind or
# answer of it; "" leaves out all.
UNSAID = {
    "app-domains-only": ("fb-08-redirect-uri",),
    "fresh": ("",),
    "not-published": ("fb-12a-publish",),
    "partly-declined": (*_NOT_APPROVED, *_IN_CYCLR),
    "permission-missing": _NOT_APPROVED,
    "renewal-expired": ("attestation fb-11b-data-access-renewal asked",),
    "renewal-due": (
        "attestation fb-11b-data-access-renewal done",
        "fb-12-submit-review",
        *_AFTER_REVIEW,
    ),
    "review-declined": _AFTER_REVIEW,
    "review-pending": _AFTER_REVIEW,
    "system-user": ("attestation test-09-ask-token-kind done",),
    "tech-provider-pending": ("attestation fb-05b-access-verification",),
    "test-calls-missing": (*_FROM_TEST_CALLS, *_AFTER_REVIEW),
    "rate-limited": _UNCHECKED,
    "unknown-app": _UNCHECKED,
    "use-case-missing": ("fb-04a-use-case", *_FROM_TEST_CALLS, *_AFTER_REVIEW),
    "wrong-secret": _UNCHECKED,
}

# Scenario → attestations that only it has.
SAID_ONLY_IN = {"system-user": ("attestation test-09-ask-token-kind system-user",)}

# Scenario → days between an attestation and Monday of last week, if they differ from the default.
SAID_AGO = {"renewal-expired": {"renewed": 400}}
