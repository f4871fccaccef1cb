"""
The actions that an app still requires: for a submission, for publishing, for its customers.
"""

from facebook_cyclr_sandbox.state.facebook_state import App, Business, VerificationStatus

_SETTINGS = {
    "privacy_policy_url": "Add a Privacy Policy URL in Settings > Basic.",
    "data_deletion_url": "Add User Data Deletion in Settings > Basic.",
    "icon_url": "Add an App Icon in Settings > Basic.",
}


RENEWAL_OPEN = "Complete data access renewal requirements to submit for App Review"
_RENEWAL_BEFORE_PUBLISHING = "Complete the Data Access Renewal."


def list_publishing_requirements(app: App) -> list[str]:
    """Return the actions that the app requires before it can go live."""
    renewal = [_RENEWAL_BEFORE_PUBLISHING] if app.is_renewal_open else []
    return [*_missing_settings(app), *renewal]


def _missing_settings(app: App) -> list[str]:
    settings = {**app.dashboard_settings, **app.profile}
    missing = [text for name, text in _SETTINGS.items() if not settings.get(name)]
    if not app.category:
        missing.append("Choose a Category in Settings > Basic.")
    return missing


def list_submission_requirements(app: App, business: Business) -> list[str]:
    """Return the actions that the app requires before it can be submitted to App Review."""
    missing = _missing_settings(app)
    if business.verification is not VerificationStatus.VERIFIED:
        missing.append("Complete Business Verification under Verification.")
    if app.is_renewal_open:
        missing.append(f"{RENEWAL_OPEN}.")
    return missing


def list_required_actions(app: App, business: Business) -> list[str]:
    """Return all actions that the app still requires."""
    actions = list_submission_requirements(app, business)
    if business.access_verification is not VerificationStatus.VERIFIED:
        actions.append(
            "Complete Access Verification (Tech Provider) before other businesses use the app."
        )
    if not app.is_published:
        actions.append("Publish the app: Publish > Go live.")
    return actions
