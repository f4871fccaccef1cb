"""
HTML pages out of the templates beside this module.

Each extends `base.html`, which writes SANDBOX into the title and the page.
"""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from runbook_lib.sandbox.http.web import Headers, Reply, html

__all__ = ["page"]

_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def page(template: str, status: int = 200, headers: Headers = (), **values: object) -> Reply:
    """Return the page that `template` gives with `values`."""
    return html(_TEMPLATES.get_template(template).render(values), status, headers)
