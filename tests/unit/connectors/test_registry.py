"""Connectors are found by name, and one `.env` may hold the settings of several."""

from __future__ import annotations

import pytest

from runbook_lib.config.runner_settings import inputs_of
from runbook_lib.connectors.registry import (
    DEFAULT,
    connector_names,
    find_procedure,
    known_variables,
)
from runbook_lib.errors import SettingsError
from tests.support.wording import refused


def test_the_documented_connector_is_the_default() -> None:
    """Without a name, the default connector is facebook_marketing."""
    assert DEFAULT == "facebook_marketing"
    assert DEFAULT in connector_names()


def test_only_packages_with_a_procedure_are_connectors() -> None:
    """Packages that connectors share are not connectors."""
    assert not {"facebook", "cyclr", "registry", "context"} & set(connector_names())


@pytest.mark.parametrize("name", ["", "facebook", "../facebook_marketing", "facebook_marketing.x"])
def test_an_unknown_connector_is_refused_by_name(name: str) -> None:
    """An unknown connector name is refused with a list of the known ones."""
    with refused(SettingsError, "no-such-connector", name=repr(name)) as caught:
        find_procedure(name)

    assert "facebook_marketing" in caught.value.diagnostics()


def test_a_misspelled_connector_gets_a_suggestion() -> None:
    """A misspelled connector name is refused with the nearest name as suggestion."""
    with refused(SettingsError, "did-you-mean", name="facebook_marketing"):
        find_procedure("facebook_marketting")


@pytest.mark.parametrize("name", connector_names())
def test_each_setting_has_a_variable_for_all_and_one_for_a_connector_alone(name: str) -> None:
    """Each input of connector and runner has a shared variable and one for the connector."""
    known = known_variables()

    for item in inputs_of(find_procedure(name)):
        assert {item.variable, item.variable_for(name)} <= known
