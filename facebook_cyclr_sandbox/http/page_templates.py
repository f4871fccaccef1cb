"""
The templates of the practice pages.

Each template extends `base.html`, which writes SANDBOX into the title and the page.
"""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from facebook_cyclr_sandbox.http.web_messages import Headers, WebResponse, html_response

_FOLDER = Path(__file__).parent / "templates"
_TEMPLATES = Environment(
    loader=FileSystemLoader(_FOLDER),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render_page(
    template: str, status: int = 200, headers: Headers = (), **values: object
) -> WebResponse:
    """Return the page rendered from `template` with `values`."""
    return html_response(_TEMPLATES.get_template(template).render(values), status, headers)
