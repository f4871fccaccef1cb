"""The logged-in user that a server names, beside the name that a person gives."""

from __future__ import annotations

import pytest

from runbook_lib.engine.tenant_run import logged_in


@pytest.mark.parametrize(
    ("given", "login"),
    [
        ("ann@example.com", "ann@example.com"),
        (" ann ", "ann"),
        ("", ""),
        ("an\u202en", ""),
        ("a" * 201, ""),
    ],
)
def test_the_login_is_jupyterhubs(given: str, login: str) -> None:
    """The login is what JupyterHub sets, unless a record could not show it as it is."""
    assert logged_in({"JUPYTERHUB_USER": given}) == login


def test_elsewhere_nobody_is_logged_in() -> None:
    """Without JupyterHub there is no login, whatever the machine's user is called."""
    assert logged_in({"USER": "ann"}) == ""
