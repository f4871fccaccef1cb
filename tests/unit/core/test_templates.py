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


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of this user's compiled templates."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "page.html").write_text("{{ name }}")
    return tmp_path / "cache" / "facebook-marketing-runbook" / "templates"


def page(folder: Path) -> str:
    """Return the template's text, from an environment of its own."""
    made: str = template_environment(folder).get_template("page.html").render(name="it")
    return made


def test_templates_are_compiled_once_for_a_user(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A later process finds the code of a template in a folder that is this user's alone."""
    assert page(tmp_path) == "it"
    assert kept.stat().st_mode & 0o777 == 0o700
    with monkeypatch.context() as patch:
        patch.setattr("jinja2.Environment.compile", None)
        assert page(tmp_path) == "it"
    (tmp_path / "page.html").write_text("{{ name }}!")
    assert page(tmp_path) == "it!"


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o755])
def test_code_that_others_may_have_written_is_not_run(
    kept: Path, tmp_path: Path, mode: int
) -> None:
    """A folder that others may read or write is not used, nor is a link to another one."""
    page(tmp_path)
    kept.chmod(mode)
    before = [path.stat().st_mtime_ns for path in kept.iterdir()]
    assert template_environment(tmp_path).bytecode_cache is None
    kept.rename(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").chmod(0o700)
    kept.symlink_to(tmp_path / "elsewhere")

    assert template_environment(tmp_path).bytecode_cache is None
    assert page(tmp_path) == "it"
    assert [path.stat().st_mtime_ns for path in kept.iterdir()] == before


@pytest.mark.parametrize("broken", ["file", "full", "damaged"])
def test_a_cache_that_cannot_be_used_stops_nothing(
    kept: Path, tmp_path: Path, broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file in its place, a full disk or damaged code: the template is compiled as before."""
    if broken == "file":
        (tmp_path / "cache").touch()
    elif broken == "damaged":
        page(tmp_path)
        for path in kept.iterdir():
            path.write_bytes(path.read_bytes()[:-9])
    else:

        def full(*_: object, **__: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("tempfile.NamedTemporaryFile", full)

    assert page(tmp_path) == "it"
