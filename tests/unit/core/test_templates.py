"""Templates escape what they show."""

from __future__ import annotations

from pathlib import Path

import jinja2
import pytest

from runbook_lib.core.templates import template_environment


def test_values_are_escaped_and_an_unknown_name_is_an_error(tmp_path: Path) -> None:
    """Values are escaped, and an unknown name raises."""
    (tmp_path / "a.html").write_text("<p>{{ text }}</p>", "utf-8")
    template = template_environment(tmp_path).get_template("a.html")

    assert template.render(text="<i>") == "<p>&lt;i&gt;</p>"
    with pytest.raises(jinja2.UndefinedError):
        template.render()
