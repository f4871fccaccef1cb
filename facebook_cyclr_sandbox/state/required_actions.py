"""
What an app still lacks, in plain words: for a submission, for publishing, for its customers.
"""

from facebook_cyclr_sandbox.origins import inferred, unknown, verbatim
from facebook_cyclr_sandbox.state.facebook_world import App, Business, Verification

_SETTINGS = {
    "privacy_policy_url": "Add a Privacy Policy URL in Settings > Basic.",
    "data_deletion_url": "Add User Data Deletion in Settings > Basic.",
    "icon_url": "Add an App Icon in Settings > Basic.",
}


RENEWAL_OPEN = "Complete data access renewal requirements to submit for App Review"
verbatim(
    "graph §9",
    f"Submit for review is grey while a renewal is open: {RENEWAL_OPEN}",
    "third-party readings of 2026, one organisation",
)
unknown("graph §9", "the words with which publishing is refused while a renewal is open")
_RENEWAL_BEFORE_PUBLISHING = "Complete the Data Access Renewal."


@inferred("graph §9", "Go live asks for the settings that a submission asks for", "release")
@inferred("graph §9", "an open renewal prevents publishing", "third-party reading, 2026-08-24")
def for_publishing(app: App) -> list[str]:
    """Return what is to be done before the app can go live."""
    renewal = [_RENEWAL_BEFORE_PUBLISHING] if app.is_renewal_open else []
    return [*_missing_settings(app), *renewal]


def _missing_settings(app: App) -> list[str]:
    settings = {**app.unexposed, **app.profile}
    missing = [text for name, text in _SETTINGS.items() if not settings.get(name)]
    return [*missing, *([] if app.category else ["Choose a Category in Settings > Basic."])]


@verbatim(
    "graph §9",
    "a submission needs a privacy policy and Business Verification",
    "docs/app-review/submission-guide; third-party readings, 2026",
)
@inferred("graph §9", "it also needs icon, category and data deletion", "create-an-app")
def for_submission(app: App, business: Business) -> list[str]:
    """Return what is to be done before the app can be submitted to App Review."""
    missing = _missing_settings(app)
    if business.verification is not Verification.VERIFIED:
        missing.append("Complete Business Verification under Verification.")
    if app.is_renewal_open:
        missing.append(f"{RENEWAL_OPEN}.")
    return missing


@verbatim(
    "graph §9",
    "required: Business Verification, Access Verification for apps of other businesses, Go live",
    "docs/development/release",
)
def required_actions(app: App, business: Business) -> list[str]:
    """Return everything that the app still lacks."""
    actions = for_submission(app, business)
    if business.access_verification is not Verification.VERIFIED:
        actions.append(
            "Complete Access Verification (Tech Provider) before other businesses use the app."
        )
    if not app.is_published:
        actions.append("Publish the app: Publish > Go live.")
    return actions
