"""
Lines and paragraphs for a terminal, without the library that draws tables: it is slow to load.
"""

from __future__ import annotations

import json
import shutil

import click

from runbook_lib.text import escaped_json, one_line

_LOG_WIDTH = 120
NARROWEST = 20


def say(text: str, *, is_error: bool = False) -> None:
    """Print one line, which may contain text of a file or remote system."""
    click.echo(one_line(text), err=is_error)


def say_where(evidence: str) -> None:
    """Print on stderr the folders that a command uses outside the working directory."""
    from runbook_lib.config.workspace import evidence_folder, folders_elsewhere

    if folders := folders_elsewhere(evidence_folder(evidence)):
        say(folders, is_error=True)


def say_settings(env_file: str) -> None:
    """Print on stderr the settings file that is read, if it is outside the working directory."""
    from runbook_lib.config.settings import settings_elsewhere

    if path := settings_elsewhere(env_file):
        say(f"Settings file: {path}", is_error=True)


def say_package(connector: str) -> None:
    """Print on stderr the package that brings a connector, before its code is loaded."""
    from runbook_lib.connectors.registry import package_of, require_connector

    require_connector(connector)
    if package := package_of(connector):
        say(f"! The connector {connector} is not the runbook's own: {package}.", is_error=True)


def show_json(document: object) -> None:
    """Print a document for programs on one line; none of its characters moves a cursor."""
    click.echo(escaped_json(json.dumps(document, ensure_ascii=False)))


def show_paragraph(text: str, *, indent: str, first: str = "") -> None:
    """Print `text` as wrapped lines, each after `indent`; `first` goes before the first word."""
    begin = indent + first
    for part in wrapped(one_line(text), len(begin)):
        click.echo(f"{begin}{part}")
        begin = indent + " " * len(first)


def columns() -> int:
    """Return the terminal's width; without a terminal (a log, CI), lines may be wider."""
    return shutil.get_terminal_size((_LOG_WIDTH, 0)).columns


def wrapped(text: str, reserved: int) -> list[str]:
    """Return `text` in lines beside `reserved` columns; a longer word is cut."""
    from rich.console import Console
    from rich.text import Text

    width = max(columns() - reserved, NARROWEST)
    return [line.plain.rstrip() for line in Text(text).wrap(Console(), width)]
