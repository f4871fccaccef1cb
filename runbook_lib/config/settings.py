"""
Settings: typed values and credentials, from parameters, environment, `.env` and references.

The procedure defines the inputs and how to parse them.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import dotenv
import dotenv.parser

from runbook_lib.config.ownership import require_own
from runbook_lib.config.workspace import LAB_COMMAND, project_folder
from runbook_lib.core.credential_form import why_implausible
from runbook_lib.core.files import read_plain, read_text
from runbook_lib.core.model import Value
from runbook_lib.core.procedure import Input
from runbook_lib.core.redaction import Secret, holds_token
from runbook_lib.errors import SettingsError, reason_of
from runbook_lib.text import first_unseen

_PREFIX = "RUNBOOK_"
# Settings of a command itself, allowed in the environment and `.env` but not as parameters.
_OWN = ("RUNBOOK_CONNECTOR", "RUNBOOK_TENANT", "RUNBOOK_EVIDENCE")
_ENV_FILE = "RUNBOOK_ENV_FILE"
_LARGEST_FILE = 1024 * 1024
_LARGEST_SECRET = 64 * 1024
_LONGEST_TEXT = 2_000
_SCHEMES = ("env:", "file:", "dotenv:", "keyring:")
# The forms of a reference to a stored secret.
_REFERENCE = re.compile(
    r"env:[A-Za-z_][A-Za-z0-9_]*|file:.+|keyring:.+/.+|dotenv:.+#[A-Za-z_][A-Za-z0-9_.-]*"
)
REFERENCE_FORMS = "env:NAME, file:PATH, dotenv:PATH#NAME or keyring:SERVICE/USER"
_TRUE = ("1", "true", "yes", "on")
_FALSE = ("0", "false", "no", "off")


@dataclass(frozen=True, slots=True)
class Settings:
    """The operator's settings: `values` are typed and safe to show, `secrets` are not."""

    values: Mapping[str, Value] = field(default_factory=dict)
    secrets: Mapping[str, Secret] = field(default_factory=dict)


class KnownVariables(frozenset[str]):
    """
    Names of variables of all connectors.

    They are incomplete while a connector is broken, and beside a connector that a package brings:
    any other name may belong to it.
    """

    _is_complete: Callable[[], bool]

    def __new__(
        cls, names: Iterable[str] = (), *, is_complete: Callable[[], bool] = lambda: True
    ) -> KnownVariables:
        """Return the set of these names; `is_complete` is called only for an unknown name."""
        variables = super().__new__(cls, names)
        variables._is_complete = is_complete
        return variables

    @property
    def is_complete(self) -> bool:
        """Whether no other name is a connector's."""
        return self._is_complete()

    def may_have(self, name: str) -> bool:
        """Return whether a variable is, or may be, one of a connector's."""
        is_settings = name.startswith(_PREFIX) and name not in _OWN
        return name in self or (is_settings and not self.is_complete)


def resolve(
    inputs: Iterable[Input],
    *,
    given: Mapping[str, object] | None = None,
    env_file: Mapping[str, str] | None = None,
    environ: Mapping[str, str] = os.environ,
    withheld: Collection[str] = (),
    connector: str = "",
    others: Collection[str] = (),
) -> Settings:
    """
    Return the values of `inputs`: `given` wins over the environment, the environment over `.env`.

    A variable that contains the name of `connector` (`RUNBOOK_<CONNECTOR>_APP_ID`) wins over the
    one for all connectors of the provider, in both sources. Variables of other connectors
    (`others`, see `variables_of`) are accepted but not read. While these are incomplete, any name
    is accepted, since it may belong to a connector that is not loaded.

    A secret in `given` must be a reference (`env:NAME`, `file:PATH`, `dotenv:PATH#NAME`,
    `keyring:SERVICE/USER`), since others can see parameters and arguments. The secrets in
    `withheld` are not read. Raises `SettingsError` for an unknown name, a value of the wrong type,
    a reference to nothing, or a credential that is a plain word.
    """
    items = {item.name: item for item in inputs}
    given = {name: value for name, value in (given or {}).items() if value not in (None, "", ())}
    for name in given:
        if name not in items:
            raise SettingsError(
                f"There is no parameter called {name}.{suggestion(name, items)}",
                next_step=f"Known parameters: {', '.join(items)}.",
            )
    file_values = env_file or {}
    known = {*_OWN, *others, *variables_of({connector: items.values()})}
    may_be = others if isinstance(others, KnownVariables) else KnownVariables()
    _refuse_unknown_variables(file_values, known, may_be, "The settings file")
    all_texts = (*given.values(), *environ.values(), *file_values.values())
    known |= {_ENV_FILE, LAB_COMMAND, *referred_variables(all_texts)}
    _refuse_unknown_variables(environ, known, may_be, "The environment")
    values: dict[str, Value] = {}
    raw: dict[str, str] = {}
    sources = (environ, file_values)
    for name, item in items.items():
        variables = (item.variable_for(connector), item.variable)
        texts = (source.get(variable) for variable in variables for source in sources)
        raw[name] = next(filter(None, texts), "")
        if not item.secret and (name in given or raw[name]):
            values[name] = convert_value(item, given.get(name, raw[name]))
    secrets: dict[str, Secret] = {}
    for name, item in items.items():
        if item.secret and name not in withheld:
            text = _secret_text(item, given.get(name), raw[name], environ)
            if text:
                with _errors_about(item):
                    secrets[name] = secret_of(item, text, values)
    return Settings(values, secrets)


def variables_of(inputs: Mapping[str, Iterable[Input]]) -> set[str]:
    """Return the variables of each connector's inputs: for all connectors, and for it alone."""
    return {
        name
        for connector, items in inputs.items()
        for item in items
        for name in (item.variable, item.variable_for(connector))
    }


def own_setting(name: str, env_file: str = "") -> str:
    """
    Return the `.env` file's `connector`, `tenant` or `evidence`; empty if it has none.

    Raises `SettingsError` if the file cannot be read.
    """
    return settings_file(env_file).get(f"{_PREFIX}{name.upper()}", "")


def settings_file(env_file: str) -> dict[str, str]:
    """
    Return the variables of `env_file`, or else of the `.env` file that `find_env_file` finds.

    Raises `SettingsError` if it cannot be read.
    """
    path = env_file or find_env_file()
    return read_env_file(Path(path)) if path else {}


def find_env_file() -> str:
    """
    Return the `.env` of the working folder, or else the project's; empty without one.

    Raises `SettingsError` if another user could have written it.
    """
    for folder in (Path.cwd(), project_folder()):
        path = folder / ".env"
        # NOTE: false for a folder, such as a virtual environment of that name.
        if os.path.isfile(path):  # noqa: PTH113  (it never raises)
            require_own(path, "The settings file")
            return str(path)
    return ""


def settings_elsewhere(env_file: str) -> str:
    """Return the path of the settings file, if it is not in the working folder."""
    path = env_file or find_env_file()
    is_here = not path or Path(path).absolute().parent == Path.cwd()
    return "" if is_here else path


def convert_value(item: Input, value: object) -> Value:
    """Return `value` in the type of `item`; raises `SettingsError`, which names the input."""
    with _errors_about(item):
        return parse_value(item, value)


def parse_value(item: Input, value: object) -> Value:
    """Return `value` in the type of `item`; raises `ValueError` with the reason alone."""
    expected = type(item.default) if item.default is not None else str
    if expected is bool:
        word = str(value).strip().lower()
        if word not in (*_TRUE, *_FALSE):
            raise ValueError(f"it takes true or false, not {value!r}")
        return word in _TRUE
    if isinstance(value, list | tuple) and expected is tuple:
        value = ",".join(str(part) for part in value)
    if isinstance(value, bool) or not isinstance(value, str | int):
        kinds = {tuple: "names separated by commas", int: "a whole number"}
        expectation = kinds.get(expected, "text")
        raise ValueError(  # noqa: TRY004  (the callers expect a `ValueError` for every bad value)
            f"it takes {expectation}, not {type(value).__name__}"
        )
    if expected is not tuple:
        visible(str(value))
    if holds_token(str(value)):
        raise ValueError(
            "it contains what looks like an access token, but this value is shown: put the token "
            "into .env, under its own name"
        )
    return item.parse(str(value).strip())


def visible(text: str, *, longest: int = _LONGEST_TEXT, may_have_lines: bool = False) -> str:
    """
    Return `text` without surrounding spaces; only a note may have several lines.

    Raises `ValueError` if it is too long or contains an invisible character, such as one that
    reverses the writing direction: a record must show its whole content.
    """
    typed = text.strip()
    unseen = first_unseen(
        typed.replace("\r\n", " ").replace("\n", " ") if may_have_lines else typed
    )
    if unseen:
        raise ValueError(f"it contains an invisible character ({unseen}); type it again")
    if len(typed) > longest:
        raise ValueError(f"it has {len(typed):,} characters; the limit is {longest:,}")
    return typed


def visible_text(
    subject: str,
    text: str,
    *,
    longest: int = _LONGEST_TEXT,
    may_have_lines: bool = False,
    next_step: str = "",
) -> str:
    """Return `text` as `visible` does; raises a `SettingsError` about `subject`."""
    try:
        return visible(text, longest=longest, may_have_lines=may_have_lines)
    except ValueError as error:
        raise SettingsError(f"{subject}: {error}.", next_step=next_step) from None


def secret_of(item: Input, text: str, values: Mapping[str, Value]) -> Secret:
    """
    Return `text` as the credential `item`.

    Raises `ValueError`, without quoting it, if its format is wrong, or if it cannot be
    distinguished from an ordinary word or from one of the shown `values`.
    """
    value = str(item.parse(text))
    if first_unseen(value):
        raise ValueError("it contains an invisible character; copy it again")
    for name, shown_value in values.items():
        if any(
            value in str(part)
            for part in (shown_value if isinstance(shown_value, tuple) else (shown_value,))
        ):
            raise ValueError(
                f"this cannot be distinguished from an ordinary word: {name} contains it too"
            )
    reason = why_implausible(value)
    if reason:
        raise ValueError(reason)
    return Secret(value)


def read_env_file(path: Path) -> dict[str, str]:
    """
    Return the variables of the `.env` file at `path`.

    Raises `SettingsError` if it cannot be read, contains no setting, or has a
    line that is not `NAME=value`; the line itself is not quoted.
    """
    content = read_text(path, _LARGEST_FILE, SettingsError, "The settings file")
    variables: dict[str, str] = {}
    for binding in dotenv.parser.parse_stream(io.StringIO(content)):
        if binding.error or (binding.key is not None and binding.value is None):
            text = binding.original.string
            line = binding.original.line + len(text) - len(text.lstrip("\n"))
            raise SettingsError(f"Line {line} of {path} is not NAME=value.")
        if binding.key is not None and binding.value is not None:
            variables[binding.key] = binding.value
    if not variables:
        raise SettingsError(f"The settings file {path} contains no settings.")
    return variables


def is_reference(text: object) -> bool:
    """
    Return whether `text` is a reference to a stored secret, not the secret itself.

    It does not look up the target of the reference.
    """
    return isinstance(text, str) and bool(_REFERENCE.fullmatch(text)) and not holds_token(text)


def _refuse_unknown_variables(
    variables: Iterable[str], known: Collection[str], may_be: KnownVariables, source: str
) -> None:
    """Raise `SettingsError` for a name that is not a setting."""
    for name in variables:
        if name.startswith(_PREFIX) and not (name in known or may_be.may_have(name)):
            raise SettingsError(
                f"{source} names {name}, which is not a setting.{suggestion(name, known)}"
            )


def referred_variables(values: Iterable[object]) -> set[str]:
    """Return the variables in references of the form `env:NAME`."""
    texts = (text for text in values if isinstance(text, str))
    return {text.removeprefix("env:") for text in texts if text.startswith("env:")}


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return `Did you mean …?` if one of the `known` names is close to `name`."""
    import difflib  # noqa: PLC0415  (only a mistake needs it)

    close = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean {close[0]}?" if close else ""


@contextmanager
def _errors_about(item: Input) -> Iterator[None]:
    """Turn an error about a value into one that names its input."""
    try:
        yield
    except (ValueError, RuntimeError, SettingsError) as error:
        raise SettingsError(f"{item.name} ({item.label}): {error}") from None


def _secret_text(item: Input, parameter: object, raw: str, environ: Mapping[str, str]) -> str:
    """Return the text of a credential, or of its reference's target; empty without one."""
    is_named = isinstance(parameter, str) and parameter.startswith(_SCHEMES)
    if parameter is not None and not is_named:
        raise SettingsError(
            f"{item.name} ({item.label}) is a secret: never use it as a parameter or on a "
            f"command line. Put it into .env as {item.variable}, or give a reference: "
            f"{REFERENCE_FORMS}."
        )
    text = str(parameter or raw)
    scheme, _, target = text.partition(":")
    path, _, name = target.rpartition("#")
    with _errors_about(item):
        if scheme == "env":
            value = environ.get(target, "")
        elif scheme == "file":
            value = _from_file(Path(target))
        elif scheme == "dotenv":
            value = read_env_file(Path(path).expanduser()).get(name, "")
        elif scheme == "keyring":
            value = _from_keyring(target)
        else:
            return text.strip()
        if not value.strip():
            raise SettingsError(f"nothing is stored under {text}.")
    return value.strip()


def _from_file(path: Path) -> str:
    try:
        return read_plain(path.expanduser(), _LARGEST_SECRET).decode("utf-8")
    except (OSError, ValueError, RuntimeError) as error:
        reason = reason_of(error) if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SettingsError(f"the file {path} cannot be read: {reason}.") from None


def _from_keyring(target: str) -> str:
    import keyring.errors  # noqa: PLC0415  (slow to import, rarely used)

    service, _, user = target.rpartition("/")
    try:
        return keyring.get_password(service, user) or ""
    except keyring.errors.KeyringError as error:
        raise SettingsError(f"the keyring cannot be read ({type(error).__name__}).") from None
