"""A notebook as `jupyter nbconvert --to html` shows it: its links and its buttons."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any
from urllib.parse import unquote, urlsplit

from nbconvert import HTMLExporter

# An address ends with a letter, a digit or a slash, not with a mark of the text around it.
_ADDRESS = re.compile(r"https?://[\w.:/?=&%#+-]*[\w/]", re.ASCII)
_THIS_MACHINE = {"127.0.0.1", "localhost"}


class ConvertedPage(HTMLParser):
    """The page that a browser draws of a converted notebook; nothing inside of `template`."""

    def __init__(self, notebook: Any, template: str) -> None:
        super().__init__()
        self.links: list[str] = []
        """The addresses of all links."""

        self.buttons: list[str] = []
        """The classes of each button; none of them works, since no kernel is there."""

        self._ids: set[str] = set()
        self._templates = 0
        page, _ = HTMLExporter(template_name=template).from_notebook_node(notebook)
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note links, buttons and the targets of links."""
        attributes = dict(attrs)
        if tag == "template":
            self._templates += 1
        if self._templates:
            return
        if attributes.get("id"):
            self._ids.add(str(attributes["id"]))
        if tag == "a" and "href" in attributes:
            self.links.append(str(attributes["href"]))
        if tag == "button":
            self.buttons.append(attributes.get("class") or "")

    def handle_endtag(self, tag: str) -> None:
        """Note the end of a `template`."""
        if tag == "template":
            self._templates -= 1

    def dead_links(self) -> list[str]:
        """Return the links that lead nowhere for somebody who reads the page elsewhere, later."""
        return [link for link in self.links if not self._leads_somewhere(link)]

    def _leads_somewhere(self, link: str) -> bool:
        if link.startswith("#"):
            place = link.removeprefix("#")
            return place in self._ids or unquote(place) in self._ids
        is_address = _ADDRESS.fullmatch(link) is not None
        return is_address and urlsplit(link).hostname not in _THIS_MACHINE
