"""
Where the walkthrough's credentials are saved, and following what others save.

What a person saves in another kernel, or writes into the settings file, is used
here as soon as the journal or that file shows it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from pathlib import Path

from runbook_lib.config.credential_stores import (
    CredentialStore,
    EnvFileStore,
    KeyringStore,
    load_stored_credentials,
)
from runbook_lib.config.settings import read_env_file, resolve
from runbook_lib.connectors.registry import DEFAULT, known_variables
from runbook_lib.core.procedure import Input
from runbook_lib.core.redaction import Secret
from runbook_lib.engine.tenant_run import Run
from runbook_lib.errors import SettingsError


class SavedCredentials:
    """The saved credentials of a run; follows what other kernels save or remove."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._items = [item for item in run.inputs if item.secret]
        connector = run.procedure.id
        self._env_file = EnvFileStore(run.env_file, connector, is_shared=connector != DEFAULT)
        self._stores: dict[str, CredentialStore] = {
            "keyring": KeyringStore(),
            ".env": self._env_file,
        }
        self._following = threading.Lock()
        self._seen = self._versions()
        self._saved = self._read({})

    def save(self, item: Input, store: str) -> str:
        """Save the credential to `keyring` or `.env`; return a message that says so."""
        self._run.save_secret(item, self._stores[store])
        self.follow()
        return f"{item.label} saved to {'the keyring' if store == 'keyring' else store}."

    def forget(self, item: Input) -> str:
        """Remove the credential from every store and from memory; return a message that says so."""
        self._run.forget_secret(item, self._stores.values())
        self.follow()
        if self._env_file.holds(item):
            return (
                f"{item.label} removed for this connector. {item.variable} in .env serves every "
                "connector, so it was kept: remove it yourself."
            )
        return f"{item.label} removed."

    def follow(self) -> bool:
        """
        Use what was saved elsewhere, drop what was removed; return whether anything changed.

        A credential that was only typed here stays until its saved value changes.
        """
        with self._following:
            signs = self._versions()
            if signs == self._seen:
                return False
            self._seen = signs
            before = self._saved
            self._saved = self._read(self._saved)
            for item in self._items:
                earlier = before.get(item.name)
                current = self._saved.get(item.name)
                if current is not None and (
                    earlier is None or earlier.reveal() != current.reveal()
                ):
                    self._run.set_secret(item, current.reveal())
                elif earlier is not None and current is None:
                    self._run.forget_secret(item, ())
            return True

    def unsaved(self) -> list[tuple[Input, Secret]]:
        """Return the credentials that differ from the saved ones."""
        secrets = self._run.settings.secrets
        known = [(item, secrets[item.name]) for item in self._items if item.name in secrets]
        saved = {name: secret.reveal() for name, secret in self._saved.items()}
        return [(item, secret) for item, secret in known if saved.get(item.name) != secret.reveal()]

    def storage_places(self) -> dict[str, str]:
        """Return where each known credential is saved, by name."""
        references = self._run.history.credentials.keys()
        unsaved = {item.name for item, _ in self.unsaved()}
        items = [item for item in self._items if item.name in self._run.settings.secrets]
        return {
            item.name: "keyring"
            if item.name in references - unsaved
            else ".env"
            if item.name not in unsaved and self._env_file.holds(item)
            else "this session"
            for item in items
        }

    def _versions(self) -> tuple[int, int, int]:
        """Return values that change when a kernel or a person saves or removes a credential."""
        lines = self._run.history.remembered
        try:
            state = self._run.env_file.stat()
        except OSError:
            return lines, 0, 0
        return lines, state.st_mtime_ns, state.st_size

    def _read(self, before: Mapping[str, Secret]) -> Mapping[str, Secret]:
        """Return the credentials in environment, `.env` and keyring; `before` if unusable."""
        path = self._run.env_file
        references = self._run.history.credentials
        try:
            variables = read_env_file(path) if _has_setting(path) else {}
            connector = self._run.procedure.id
            names = {
                name
                for item in self._items
                for name in (item.variable, item.variable_for(connector))
            }
            own_values = {name: variables.get(name, "") for name in names}
            settings = resolve(
                self._items,
                env_file=own_values,
                environ=os.environ,
                connector=connector,
                others=known_variables(),
            )
        except SettingsError:
            return before
        # A keyring that is locked for a moment has lost nothing.
        in_keyring = {name: secret for name, secret in before.items() if name in references}
        return {**in_keyring, **load_stored_credentials(self._items, settings, references).secrets}


def _has_setting(path: Path) -> bool:
    """Return whether the file has any setting: the last credential may have been removed."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return any(line.strip() and not line.lstrip().startswith("#") for line in lines)
