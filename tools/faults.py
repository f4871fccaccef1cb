"""
Planted faults: does a test go red when the code is wrong?

`python -m tools.faults` (or `make faults`) plants one fault at a time in a copy of the project and
runs the tests that cover it against the copy. Arguments select the faults whose file name contains
one of them. Exit code 1 if no fault is selected, if one stays green, if its text is not in the file
exactly once, or if the tests are red without any fault.

To update: a row of `FAULTS` is a file (in `runbook_lib`, or with the name of its package), an exact
text in it, its replacement, the tests that cover it, and the effect.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
_NEEDED = ("runbook_lib", "facebook_cyclr_sandbox", "tests", "notebooks", "tools")
_LEFT_OUT = shutil.ignore_patterns("__pycache__", "node_modules")
_PATIENCE_SECONDS = 180
# pytest's exit codes (pytest.ExitCode); any other means that no test ran to its end.
_GREEN = 0
_RED = 1


class Fault(NamedTuple):
    """A wrong line that tests must notice."""

    file: str
    """The file to change, from the root of the project or of `runbook_lib`."""

    text: str
    """The line to replace; the file has it once."""

    planted: str
    """The wrong line that replaces it."""

    tests: str
    """The test file that must fail, from `tests/unit`, or from `tests` for `sandbox/…`."""

    impact: str
    """The consequence of the fault."""


FAULTS = (
    # --- what is next ----------------------------------------------------------------------
    Fault(
        "core/run_state.py",
        "return self.conclusion.outcome not in SETTLED and not self.is_skipped_by_person",
        "return self.conclusion.outcome not in (*SETTLED, Outcome.INCONCLUSIVE)",
        "core/test_advice.py",
        "a check in vain holds up nothing: a wrong App ID sends the person on",
    ),
    Fault(
        "core/advice.py",
        "Outcome.NOT_RUN if step.is_untouched or is_tried else conclusion.outcome",
        "Outcome.NOT_RUN if step.is_untouched else conclusion.outcome",
        "core/test_advice.py",
        "the blue button passes over a step that only a person can confirm",
    ),
    Fault(
        "walkthrough/static/header.js",
        "this.side.hidden = !wide.matches",
        "this.side.hidden = false",
        "walkthrough/test_browser_scripts.py",
        "on a narrow window the parts at the side cover the step",
    ),
    Fault(
        "engine/tenant_run.py",
        "            if is_waited_for and is_tried and can_ask and is_checkable(state, other):\n",
        "            if False:\n",
        "engine/test_tenant_run.py",
        "the console's Client ID is not read once the connector is installed",
    ),
    Fault(
        "connectors/facebook_marketing/inputs.py",
        '        "pages_manage_metadata",\n',
        "",
        "connectors/test_procedures.py",
        "step 9 leaves out a permission that the connector uses: Invalid Scopes",
    ),
    # --- the gate before failed ------------------------------------------------------------
    Fault(
        "connectors/findings.py",
        "    if proof.doubt:\n",
        "    if not proof:\n",
        "connectors/test_user_token.py",
        "a check fails without proof",
    ),
    Fault(
        "core/shapes.py",
        "return key if _NAME.fullmatch(key) and digits <= _MOST_DIGITS else OTHER_KEY",
        "return key",
        "core/test_shapes.py",
        "a field report shows an address that was a key",
    ),
    Fault(
        "engine/field_report.py",
        '        if _has_keys(mine, path.rpartition(".")[0]) and not path.endswith("[]"):\n',
        "        if False:\n",
        "engine/test_field_report.py",
        "a field report does not name a key that is left out",
    ),
    Fault(
        "remote/recording.py",
        "    body = redactor.redact(shape_text(document))\n",
        "    body = shape_text(document)\n",
        "remote/test_recording.py",
        "a record shows a secret that a remote system gave as a key",
    ),
    Fault(
        "connectors/proof.py",
        "if not listing_it and (is_refused or len(excluding) == len(listings)):",
        "if excluding:",
        "connectors/test_user_token.py",
        "a permission that one of two sources lists fails the step",
    ),
    Fault(
        "connectors/proof.py",
        "return not self.gap and name not in self.present and name not in self.unclear",
        "return name not in self.present and name not in self.unclear",
        "connectors/test_user_token.py",
        "a missing, null or empty list is read as a whole one",
    ),
    Fault(
        "connectors/proof.py",
        "has_status = status == 200 if is_inside_data else 400 <= status < 500",
        "has_status = True",
        "connectors/test_app.py",
        "a refusal with HTTP 500 fails the step",
    ),
    Fault(
        "connectors/facebook/refusal_table.py",
        "    subcodes=frozenset({33}),\n",
        "",
        "connectors/test_consent_without_role.py",
        "any code 100 accuses the verification",
    ),
    Fault(
        "connectors/facebook/refusal_table.py",
        "error_codes=frozenset({102, 190}),",
        "error_codes=frozenset({1, 2, 4, 17, 102, 190}),",
        "connectors/test_user_token.py",
        "a fault of the remote's own ends a token",
    ),
    Fault(
        "connectors/proof.py",
        "if len(statuses) > 1 and all(status in _GONE for status in statuses):",
        "if all(status >= 400 for status in statuses):",
        "connectors/test_public_pages.py",
        "a page fails that did not open once",
    ),
    Fault(
        "connectors/facebook/graph.py",
        "            if cursor is None:\n                return PagedList(rows)\n",
        "            return PagedList(rows)\n",
        "connectors/facebook_messenger/test_checks.py",
        "the first page of a list counts as the whole",
    ),
    Fault(
        "connectors/facebook_messenger/checks.py",
        "if _MESSAGES not in fields:",
        "if not fields:",
        "connectors/facebook_messenger/test_checks.py",
        "a subscription to feed alone is verified",
    ),
    Fault(
        "connectors/cyclr/service_domain.py",
        'return "" if status in _OF_A_CALLBACK else " in place of a page"',
        'return ""',
        "connectors/test_response_matrix.py",
        "a callback is verified by a status that asks to come again",
    ),
    Fault(
        "core/conclusion.py",
        "if all(finding.limits for finding in findings if finding.outcome is Outcome.NOT_RUN):",
        "if False:",
        "core/test_conclusion.py",
        "an empty list contradicts a person",
    ),
    Fault(
        "engine/watch/problems.py",
        "if poll.is_silent or is_taken_back:",
        "if poll.is_silent:",
        "engine/watch/test_problems.py",
        "a check that cannot tell any more is not missed",
    ),
    # --- the watch -------------------------------------------------------------------------
    Fault(
        "engine/watch/problems.py",
        "    if not (poll.is_definite or is_old):\n",
        "    if not poll:\n",
        "engine/watch/test_problems.py",
        "what is seen once, and passes by, is a problem",
    ),
    Fault(
        "engine/watch/problems.py",
        "            verdict.began = None\n",
        "            pass\n",
        "engine/watch/test_poll.py",
        "an app whose name is back is an end, and news of another step",
    ),
    Fault(
        "engine/watch/watch_state.py",
        "not timedelta() <= now - datetime.fromisoformat(since) < interval",
        "now - datetime.fromisoformat(since) >= interval",
        "engine/watch/test_problems.py",
        "a clock that was ahead once stops polls and reminders",
    ),
    Fault(
        "engine/watch/poll.py",
        "        if not check.side_effect\n",
        "        if check\n",
        "engine/watch/test_poll.py",
        "a watch uses up a sign-in link of each tenant a day",
    ),
    Fault(
        "engine/watch/send.py",
        "return self._fleet is not None and key not in self._fleet",
        "return True",
        "engine/watch/test_send.py",
        "a digest is sent under a new id because a tenant could not be polled",
    ),
    Fault(
        "engine/watch/send.py",
        "        if addressee is None or key not in addressee.views:\n",
        "        if addressee is None:\n",
        "engine/watch/test_send.py",
        "a receiver sees a tenant that has left it",
    ),
    Fault(
        "engine/watch/digest.py",
        "ProblemKind.FAILED and not problem.is_acknowledged(now):",
        "ProblemKind.FAILED:",
        "engine/watch/test_send.py",
        "people are reminded of what they have acknowledged",
    ),
    Fault(
        "engine/watch/customer_poll.py",
        "if account in absent or (is_again and has_passed(CONFIRMED_AFTER, since, now)):",
        "if account in absent or since or not since:",
        "engine/watch/test_customer_poll.py",
        "a customer who was seen signed out once is a problem",
    ),
    Fault(
        "engine/customer_rows.py",
        "if (not_later(failure.at, now) > succeeded_on if failure.at else not succeeded_on)",
        "if failure",
        "engine/test_customer_connections.py",
        "a failure of before the last success makes calls fail again",
    ),
    # --- outcomes --------------------------------------------------------------------------
    Fault(
        "core/conclusion.py",
        "seen.outcome in (Outcome.FAILED, Outcome.VERIFIED):",
        "seen.outcome is Outcome.VERIFIED:",
        "core/test_conclusion.py",
        "a failed check no longer overrides an attestation",
    ),
    Fault(
        "core/run_state.py",
        "if any(state.conclusion.outcome is Outcome.FAILED for state in states):",
        "if all(state.conclusion.outcome is Outcome.FAILED for state in states):",
        "core/test_run_state.py",
        "a run with one failed step is not failed",
    ),
    Fault(
        "core/index.py",
        'if code.decode("ascii", "replace") != key.of_bytes(saved):',
        "if not code:",
        "core/test_index.py",
        "an altered index is accepted",
    ),
    Fault(
        "core/attestation_rules.py",
        "if not earlier or is_same:",
        "if not earlier or current:",
        "core/test_attestation_rules.py",
        "an attestation counts for another app",
    ),
    Fault(
        "engine/tenant_run.py",
        "refuse_mixing(history, self.tenant, is_practice=self.is_sandbox)",
        "pass",
        "engine/test_tenant_run.py",
        "practice counts as real evidence",
    ),
    Fault(
        "core/journal.py",
        "if prev != previous.digest or seq != number:",
        "if seq != number:",
        "core/test_journal.py",
        "an altered line of the journal is accepted",
    ),
    Fault(
        "core/journal.py",
        "file.truncate(end)\n                _write_whole(file, content)",
        "_write_whole(file, content)",
        "core/test_journal.py",
        "a line is appended to the incomplete line of a killed process",
    ),
    Fault(
        "core/journal.py",
        "else size - len(last)",
        "else size",
        "core/test_journal.py",
        "half a line of a killed process stays",
    ),
    Fault(
        "remote/response_cache.py",
        "                if not is_cacheable(fetched):",
        "                if is_cacheable(fetched) is None:",
        "remote/test_response_cache.py",
        "a fault of a remote system stays in the cache for the whole snapshot",
    ),
    Fault(
        "remote/check_session.py",
        "        request.is_public_only,\n    )",
        "    )",
        "remote/test_response_cache.py",
        "an answer from a private network counts as a public one",
    ),
    Fault(
        "remote/check_session.py",
        "seconds):\n                self._await_cool_down(request)\n                response",
        "[self._await_cool_down(request), seconds][1]):\n                response",
        "remote/test_response_cache.py",
        "a request that waits for a slot is sent although the host has asked for a pause",
    ),
    Fault(
        "remote/check_session.py",
        '"""\n        self.flush()\n        policy',
        '"""\n        policy',
        "engine/test_snapshot.py",
        "an answer is lost if the next request never ends",
    ),
    Fault(
        "remote/http_transport.py",
        'if info == "is_readable" and (self._is_closed or self._status_lines > 1):',
        'if info == "is_readable" and (self._is_closed or self._status_lines > 2):',
        "remote/test_http_transport.py",
        "a second answer to a request counts as the answer to the next",
    ),
    Fault(
        "remote/http_transport.py",
        'self._is_closed or (self._status_lines and self.get_extra_info("is_readable")):',
        "False:",
        "remote/test_http_transport.py",
        "a request goes over a connection that another thread has just ended",
    ),
    Fault(
        "engine/check_runner.py",
        "return ((), _BLOCKED) if side_effect and self._is_blocked(step) else perform()",
        "return perform()",
        "engine/test_snapshot.py",
        "something is spent for a step that is blocked",
    ),
    Fault(
        "engine/check_runner.py",
        "if self._alters(step) or late.intersection(step.requires):",
        "if late.intersection(step.requires):",
        "engine/test_snapshot.py",
        "a system is altered while others ask it",
    ),
    Fault(
        "engine/tenant_run.py",
        "            cache.clear()\n",
        "",
        "engine/test_snapshot.py",
        "an answer from before a change counts after it",
    ),
    Fault(
        "connectors/facebook/graph_clients.py",
        '    node.expect("id", app_id)\n    require_refusal_of_others(context)\n',
        '    node.expect("id", app_id)\n',
        "connectors/test_app.py",
        "one foreign answer verifies every step that rests on the app's node",
    ),
    Fault(
        "connectors/facebook/graph_clients.py",
        "        if _is_unknown(error, made_up):\n",
        "        if HTTPStatus.BAD_REQUEST <= error.status < HTTPStatus.INTERNAL_SERVER_ERROR:\n",
        "connectors/test_connector_safety.py",
        "any refusal of a made-up App ID verifies every step that rests on the app",
    ),
    Fault(
        "connectors/proof.py",
        "and not any(words in text for words in self.other_words)",
        "and True",
        "connectors/test_connector_safety.py",
        "a made-up host that was refused for the form of its address verifies the host",
    ),
    Fault(
        "connectors/controls.py",
        "return status in _REFUSALS",
        "return 400 <= status < 500",
        "connectors/test_connector_safety.py",
        "an error that is not about what is made up counts as its refusal",
    ),
    Fault(
        "connectors/controls.py",
        "return status in _OF_THE_CALLER",
        "return False",
        "connectors/test_connector_safety.py",
        "a control that was refused because the token had ended verifies",
    ),
    Fault(
        "remote/check_session.py",
        "(self._bypasses_cache, _cache_key(request)),",
        "_cache_key(request),",
        "connectors/test_connector_safety.py",
        "the true object is not read once more, but taken from the cache",
    ),
    Fault(
        "connectors/cyclr/connector.py",
        "    if installed != identifier:\n",
        "    if False:\n",
        "connectors/test_connector.py",
        "another connector of the same name counts as the installed one",
    ),
    Fault(
        "connectors/facebook/review.py",
        '    require_refusal_of_others(context, "/permissions")\n',
        "",
        "connectors/test_review.py",
        "one foreign answer verifies every step that rests on the app's permissions",
    ),
    Fault(
        "core/index.py",
        "if sent.seq in named)",
        "if named)",
        "core/test_run_state.py",
        "a check is kept with exchanges on which it does not rest",
    ),
    Fault(
        "evidence/leaks.py",
        "*(check for check, named in checks.items() if ref.seq in named)",
        "",
        "evidence/test_withheld.py",
        "a check is copied into a bundle whose exchange is withheld",
    ),
    Fault(
        "evidence/journal_excerpt.py",
        "if exchange not in (shown, structs.replace(shown, shape=None)):",
        "if exchanges.setdefault(exchange.number, exchange) is None:",
        "evidence/test_journal_excerpt.py",
        "of two copies of an exchange in a record one says something else",
    ),
    Fault(
        "core/json_text.py",
        "if len(document) < len(pairs):",
        "if not pairs:",
        "core/test_journal.py",
        "two fields of one name are read as the last of them",
    ),
    Fault(
        "core/masking.py",
        "return MASK if value else value",
        "return value",
        "core/test_model.py",
        "a field that nobody marked is written as it is",
    ),
    Fault(
        "evidence/journal_excerpt.py",
        "if number >= first and number not in known:",
        "if number < 0:",
        "evidence/test_journal_excerpt.py",
        "a check is believed whose exchange is missing",
    ),
    Fault(
        "evidence/journal_excerpt.py",
        "if exchanges.pop(entry.seq, recorded) != recorded:",
        "if exchanges.pop(entry.seq, recorded) is None:",
        "evidence/test_journal_excerpt.py",
        "the record says something else of an answer than the journal",
    ),
    # --- secrets ---------------------------------------------------------------------------
    Fault(
        "core/redaction.py",
        "for offset, first in ((0, 0), (1, 2), (2, 3)):",
        "for offset, first in ((0, 0),):",
        "core/test_redaction.py",
        "a secret in the middle of a base64 text is not masked",
    ),
    Fault(
        "core/redaction.py",
        "record.exc_text = self._redactor.redact(text)",
        "record.exc_text = text",
        "core/test_redaction.py",
        "a logged traceback shows a secret",
    ),
    Fault(
        "config/settings.py",
        "isinstance(parameter, str) and parameter.startswith(_SCHEMES)",
        "isinstance(parameter, str)",
        "config/test_settings.py",
        "a credential may be given on the command line",
    ),
    Fault(
        "config/credential_stores.py",
        "self.path.chmod(0o600)",
        "self.path.chmod(0o644)",
        "config/test_credential_stores.py",
        "others can read the credentials in .env",
    ),
    # --- remote systems --------------------------------------------------------------------
    Fault(
        "remote/check_session.py",
        'may_repeat = request.method == "GET" if is_repeatable is None else is_repeatable',
        "may_repeat = True",
        "remote/test_check_session.py",
        "a request that changes something is sent again",
    ),
    Fault(
        "remote/client.py",
        "self._remove_log_filter()",
        "pass",
        "remote/test_rate_limits.py",
        "a closed client leaves its filter on the loggers",
    ),
    Fault(
        "remote/check_session.py",
        'app = request.app if is_limit else ""',
        'app = ""',
        "remote/test_rate_limits.py",
        "one app's limit delays all other apps at that host",
    ),
    Fault(
        "remote/recording.py",
        "return self._redactor.redact_remote(text[:room])[:-_MAX_BODY_LENGTH]",
        "return text[:room]",
        "remote/test_hostile_remotes.py",
        "a recorded body is cut within a secret",
    ),
    Fault(
        "remote/response_body.py",
        "if max(size, arrived) > max_bytes:",
        "if size > 10**12:",
        "remote/test_hostile_remotes.py",
        "an answer may have any size",
    ),
    Fault(
        "remote/response_body.py",
        "piece = self._decompressor.decompress(chunk, self._bytes_left)",
        "piece = self._decompressor.decompress(chunk)",
        "remote/test_hostile_remotes.py",
        "a gzip bomb is inflated before its size is checked",
    ),
    Fault(
        "remote/addresses.py",
        "return require_public(host, addresses) if is_public_only else addresses",
        "return addresses",
        "remote/test_domain.py",
        "the Service Domain may resolve to this machine",
    ),
    Fault(
        "remote/domain.py",
        "why = destinations.refusal_reason(",
        'why = "" and destinations.refusal_reason(',
        "remote/test_domain.py",
        "a redirect is followed to any address",
    ),
    Fault(
        "engine/check_runner.py",
        "context.session.set_step_deadline(deadline)",
        "context.session.deadline()",
        "engine/test_check_runner.py",
        "a step's checks have no time limit",
    ),
    Fault(
        "text.py",
        "return character.isprintable() or",
        "return True or",
        "cli/test_terminal.py",
        "a remote system's text can move the cursor",
    ),
    Fault(
        "remote/oauth.py",
        "session.send(_token_request(server, form)))",
        "session.send(_token_request(server, form), is_repeatable=True))",
        "remote/test_oauth.py",
        "a single-use authorization code is sent twice",
    ),
    Fault(
        "remote/authorization_redirect.py",
        "return matching[0] if matching else None",
        "return next(iter(pending.values()), None)",
        "remote/test_authorization_redirect.py",
        "a redirect without a matching request is accepted (RFC 6749 §10.12)",
    ),
    Fault(
        "remote/domain.py",
        "jar = cookies.setdefault(",
        'jar = cookies.setdefault("") if cookies else cookies.setdefault(',
        "remote/test_domain.py",
        "one host gets another host's cookies",
    ),
    Fault(
        "connectors/facebook/app.py",
        "if not _is_redirect_refused(control):",
        "if control is None:",
        "connectors/test_app.py",
        "the redirect URI is verified where Facebook accepts any host",
    ),
    Fault(
        "connectors/facebook/app.py",
        "if not _is_redirect_refused(sibling):",
        "if sibling is None:",
        "connectors/test_app.py",
        "the redirect URI is verified where App Domains let its host in",
    ),
    Fault(
        "connectors/connector_packages.py",
        "        if self.others:\n",
        "        if False:\n",
        "connectors/test_connector_packages.py",
        "which of two packages brings a connector depends on the order of folders",
    ),
    Fault(
        "connectors/registry.py",
        "others = [name for name in dict.fromkeys(also) if name not in connector_names()]",
        "others = packaged_names()",
        "connectors/test_connector_packages.py",
        "every command loads the code of every package",
    ),
    Fault(
        "testing/connector_safety.py",
        "            has_control or names_object or is_excused,\n",
        "            True,\n",
        "connectors/test_connector_safety.py",
        "a check of another company verifies without a control",
    ),
    Fault(
        "remote/check_session.py",
        "        _refuse_stale(request, exchange.response)\n",
        "",
        "connectors/test_connector_safety.py",
        "a cached answer verifies",
    ),
    # --- evidence --------------------------------------------------------------------------
    Fault(
        "evidence/verify/verify.py",
        "if actual != subject.sha256:",
        "if not actual:",
        "evidence/verify/test_verify.py",
        "an altered file of a bundle is accepted",
    ),
    Fault(
        "evidence/verify/verify.py",
        "if name not in names and name not in UNSIGNED:",
        "if not name:",
        "evidence/verify/test_verify.py",
        "a file added to a bundle is accepted",
    ),
    Fault(
        "evidence/verify/verify_chain.py",
        "before and bundle.link.sha256 != before.statement",
        "before and not bundle.link.sha256",
        "evidence/verify/test_verify_chain.py",
        "a replaced run is not detected in the chain",
    ),
    Fault(
        "evidence/chain.py",
        "if not is_own or path.parent.is_symlink() or digest(content) in announced:",
        "if is_own or path.parent.is_symlink() or digest(content) in announced:",
        "evidence/test_chain.py",
        "a run begins with an older journal, and a bundle is lost from the chain",
    ),
    Fault(
        "evidence/journal_excerpt.py",
        "if (last.seq, last.digest) != (excerpt.lines, excerpt.head):",
        "if last.seq != part.lines:",
        "evidence/test_journal_excerpt.py",
        "the last journal line of a bundle is not the signed one",
    ),
    Fault(
        "evidence/journal_excerpt.py",
        "if entry is None or (entry.seq, digest) != (listed.seq, listed.sha256):",
        "if entry is None or entry.seq != listed.seq:",
        "evidence/test_journal_excerpt.py",
        "an older attestation that counts is replaced in a bundle",
    ),
    Fault(
        "core/credential_form.py",
        "elif _is_plain(text):",
        "elif not text:",
        "core/test_credential_form.py",
        "a word is accepted as a credential",
    ),
    Fault(
        "core/secret_search.py",
        "for start in range(4):",
        "for start in range(1):",
        "evidence/test_leaks.py",
        "a secret in base64 after other characters is sealed",
    ),
    Fault(
        "evidence/bundle.py",
        "refuse_leaks(content, redactor, remote_words, _attached(record))",
        "_attached(record)",
        "evidence/test_bundle.py",
        "a bundle is sealed with a secret in it",
    ),
    Fault(
        "evidence/signing/keys.py",
        "write_once(path, content, mode=0o600)",
        "write_once(path, content, mode=0o644)",
        "evidence/signing/test_keys.py",
        "others can read the signing key",
    ),
    Fault(
        "evidence/signing/statement.py",
        "return encode_dss_signature(r, min(s, _P256_ORDER - s))",
        "return encode_dss_signature(r, s)",
        "evidence/signing/test_statement.py",
        "a signature has a second valid form",
    ),
    Fault(
        "evidence/signing/timestamps.py",
        "if response.tst_info.nonce != query.nonce:",
        "if response.tst_info.nonce is None:",
        "evidence/signing/test_timestamps.py",
        "the time-stamp of another request is accepted",
    ),
    Fault(
        "core/files.py",
        "path.hardlink_to(draft)",
        "draft.replace(path)",
        "evidence/archive/test_stores.py",
        "an archived file is overwritten",
    ),
    Fault(
        "evidence/archive/archive.py",
        "paths.sort(key=lambda path: path == folder / STATEMENT_NAME)",
        "paths.sort(key=lambda path: path != folder / STATEMENT_NAME)",
        "evidence/archive/test_archive.py",
        "an incomplete archived bundle looks complete",
    ),
    Fault(
        "core/attachments.py",
        "if hashlib.sha256(content).hexdigest() != attachment.sha256:",
        "if not content:",
        "core/test_attachments.py",
        "a file other than the attached one is sealed",
    ),
    Fault(
        "core/secret_search.py",
        "for start in range(4):",
        "for start in range(3):",
        "evidence/test_leaks.py",
        "a secret in base64 after three characters passes the leak gate",
    ),
    Fault(
        "evidence/verify/verify.py",
        "if made.key_id != signed.key_id or set(made.subjects) != expected:",
        "if set(made.subjects) != expected:",
        "evidence/verify/test_verify.py",
        "the two statements of a bundle may have different signers",
    ),
    # --- sandbox ---------------------------------------------------------------------------
    Fault(
        "facebook_cyclr_sandbox/graph/tokens.py",
        "code.is_used = True",
        "code.is_used = False",
        "sandbox/test_sandbox_tokens.py",
        "an authorization code can be redeemed twice",
    ),
    Fault(
        "facebook_cyclr_sandbox/graph/tokens.py",
        "if not hmac.compare_digest(expected.encode(), proof.encode()):",
        "if not proof:",
        "sandbox/test_sandbox_tokens.py",
        "a wrong appsecret_proof is accepted",
    ),
    Fault(
        "facebook_cyclr_sandbox/facebook_web/dialog.py",
        "if redirect_uri in app.redirect_uris:",
        "if any(map(redirect_uri.startswith, app.redirect_uris)):",
        "sandbox/test_sandbox_dialog.py",
        "a redirect URI that only begins like a registered one is accepted",
    ),
    Fault(
        "facebook_cyclr_sandbox/cyclr/service_domain.py",
        '@_router.route("GET", "/connector/callback")',
        '@_router.route("GET", "/connector/callbacks")',
        "sandbox/test_sandbox_cyclr.py",
        "the callback answers at another path",
    ),
    Fault(
        "remote/redirect_listener.py",
        'if target.partition("?")[0] != _PATH or',
        "if not target.startswith(_PATH) or",
        "remote/test_redirect_listener.py",
        "an answer on a path that only begins like the listener's is accepted",
    ),
    # --- walkthrough -----------------------------------------------------------------------
    Fault(
        "walkthrough/check_all.py",
        "(with_side_effect if step.side_effect else steps).append(step)",
        "steps.append(step)",
        "walkthrough/test_check_all.py",
        "Check everything now spends what nobody permitted",
    ),
    Fault(
        "walkthrough/controller.py",
        "if statuses.doubts:",
        "if False:",
        "walkthrough/test_finish.py",
        "a step that is not done any more is sealed without a question",
    ),
    Fault(
        "engine/confirm_links.py",
        "        link.path.unlink()\n",
        "        link.path.stat()\n",
        "engine/test_confirm_links.py",
        "a link for a second person works twice",
    ),
    Fault(
        "notebook/lab_extension.py",
        'if not any(cell.get("outputs") for cell in notebook.cells):',
        "if notebook.cells:",
        "notebook/test_lab_extension.py",
        "a notebook with somebody's outputs is trusted",
    ),
    Fault(
        "engine/run_view.py",
        "if step.is_settled and not new_states[name].is_settled",
        "if step.is_settled and new_states[name].is_settled",
        "walkthrough/test_typed_values.py",
        "a field says the wrong steps that saving it undoes",
    ),
    # --- notebook, command line ------------------------------------------------------------
    Fault(
        "engine/process.py",
        '[sys.executable, "-m", "runbook_lib.engine.process"],',
        '[sys.executable, "-m", "runbook_lib.engine.process", str(request_document(request, {}))],',
        "engine/test_process.py",
        "a secret is on a command line, visible to others",
    ),
    Fault(
        "evidence/reports/report.py",
        "is_answer = exchange.status is not None",
        "is_answer = True",
        "evidence/reports/test_report.py",
        "the report says that a system answered which refused the connection",
    ),
    Fault(
        "core/conclusion.py",
        "needs_person = needs_another or not is_attested",
        "needs_person = True",
        "core/test_conclusion.py",
        "a step that a person attested still counts as verified in part",
    ),
    Fault(
        "notebook/templates/step.html",
        "{{ badge(step) }} {{ step.reason | timed }}",
        "{{ badge(step) }} {{ step.reason|safe }}",
        "notebook/test_rendering.py",
        "a remote system's text becomes HTML in the notebook",
    ),
    Fault(
        "engine/confirmation.py",
        "person_key(attestation.by) == person_key(by)",
        "attestation.by == by",
        "cli/test_inbox_and_confirm.py",
        "one person gives both attestations by writing the name otherwise",
    ),
    Fault(
        "engine/run_view.py",
        "return on_this_machine(values)",
        "return values",
        "engine/test_tenant_run.py",
        "a practice tenant links to the real Facebook",
    ),
    Fault(
        "evidence/journal_excerpt.py",
        "return claimed == recorded",
        "return True",
        "evidence/test_journal_excerpt.py",
        "a note in the record is not compared with its line",
    ),
    Fault(
        "cli/run.py",
        "code = result.state.outcome.exit_code",
        "code = ExitCode.COMPLETE",
        "cli/test_main.py",
        "an incomplete run ends with 0",
    ),
    Fault(
        "remote/secret_guard.py",
        "if credentials and all(credential.providers & providers for credential in credentials):",
        "if credentials:",
        "remote/test_secret_guard.py",
        "a secret is sent to another provider",
    ),
    Fault(
        "config/fleet_file.py",
        "elif not is_reference(value):",
        "elif False:",
        "config/test_fleet_file.py",
        "a secret may stand in the file of a fleet",
    ),
    Fault(
        "config/fleet_file.py",
        "is_word = bool(why_implausible(str(value)))",
        "is_word = True",
        "config/test_fleet_file.py",
        "a secret in the wrong column is shown",
    ),
    Fault(
        "engine/fleet.py",
        "if key not in own_only",
        "if True",
        "engine/test_fleet.py",
        "a tenant's process has the variables of others",
    ),
    Fault(
        "engine/fleet.py",
        'groups.setdefault(job.values.get("app_id") or job.name, [])',
        "groups.setdefault(job.name, [])",
        "engine/test_fleet.py",
        "tenants of one App ID run at once",
    ),
    Fault(
        "config/attestations.py",
        "isinstance(attestation, Attestation) and attestation.binding.subject",
        "isinstance(attestation, Attestation)",
        "config/test_attestations.py",
        "one attestation counts for every tenant of a fleet",
    ),
    Fault(
        "engine/headless.py",
        "if not request.needs_subject:",
        "if True:",
        "engine/test_headless.py",
        "a tenant's journal gets what was said of others",
    ),
    Fault(
        "evidence/fleet_result.py",
        "_WORST = (ExitCode.FAILED, ExitCode.REFUSED",
        "_WORST = (ExitCode.REFUSED, ExitCode.FAILED",
        "engine/test_fleet.py",
        "refused evidence hides a failed step of a fleet",
    ),
    Fault(
        "evidence/verify/fleet_count.py",
        "return record.not_run is None and own is not None and own == fleet_run",
        "return own is not None and own == fleet_run",
        "engine/test_fleet_resume.py",
        "a tenant that could not start counts as done",
    ),
    Fault(
        "evidence/verify/fleet_count.py",
        "own is not None and own == fleet_run",
        "own is not None and own.id == fleet_run.id",
        "engine/test_fleet_resume.py",
        "a tenant whose entry was changed counts as done",
    ),
    Fault(
        "evidence/verify/fleet_count.py",
        "if not fault and is_whole:",
        "if False:",
        "evidence/verify/test_fleet_count.py",
        "a tenant that is missing from a fleet's run passes",
    ),
    Fault(
        "evidence/verify/fleet_count.py",
        "lacking = selected - len(present)",
        "lacking = len((self._names or set()) - present)",
        "evidence/verify/test_fleet_count.py",
        "a file that was changed later hides a missing tenant",
    ),
    Fault(
        "engine/fleet.py",
        "if selections != {own}:",
        "if False:",
        "engine/test_fleet_resume.py",
        "a resumed run has other tenants than it selected",
    ),
    Fault(
        "engine/headless.py",
        "if is_done(record, request.fleet_run):",
        "if False:",
        "engine/test_headless.py",
        "two that resume a fleet run a tenant twice",
    ),
    Fault(
        "evidence/record.py",
        "RunOutcome.INCOMPLETE if started.not_run else state.outcome",
        "state.outcome",
        "engine/test_headless.py",
        "a tenant that could not start is complete",
    ),
    Fault(
        "evidence/junit.py",
        "if outcome in SETTLED and not needs_person",
        "if outcome is not Outcome.WAITING",
        "cli/test_run_junit.py",
        "a step that could not be checked passes in JUnit XML",
    ),
    Fault(
        "config/attestations.py",
        "if self.values is None or is_about(subject, self.values)",
        "if True",
        "config/test_attestations.py",
        "a tenant's journal gets what a list says of others",
    ),
    Fault(
        "config/attestations.py",
        "if entry not in matched:",
        "if False:",
        "config/test_attestations.py",
        "a slip in an attestation's subject passes in silence",
    ),
    Fault(
        "cli/fleet.py",
        "if spending and not is_sure:",
        "if False:",
        "cli/test_fleet.py",
        "a fleet spends something unasked",
    ),
    Fault(
        "evidence/reports/index_page.py",
        '{"/", "..", "//"} & set(parts)',
        "False",
        "evidence/reports/test_index_page.py",
        "a link on the page of all tenants leads out of the evidence folder",
    ),
    Fault(
        "engine/customer_letters.py",
        'one_line(account["name"].strip())',
        'account["name"].strip()',
        "engine/test_customer_letters.py",
        "a customer's name adds lines to a letter",
    ),
    Fault(
        "engine/customer_letters.py",
        "kind = CustomerRequest.ACT if is_theirs else CustomerRequest.WAIT",
        "kind = CustomerRequest.SIGN_IN",
        "engine/test_customer_letters.py",
        "a letter asks a customer to sign in where that does not help",
    ),
    Fault(
        "engine/customer_letters.py",
        're.sub(r"[\\W_]+", "-", unicodedata.normalize("NFC", text)).strip("-")',
        "text",
        "engine/test_customer_letters.py",
        "a customer's name leads a letter out of its folder",
    ),
    Fault(
        "core/run_state.py",
        'if poll.seen_on > (entry.at if entry else "")',
        "if poll.seen_on",
        "engine/test_one_state.py",
        "what a watch saw hides what a later run has seen",
    ),
    Fault(
        "engine/process.py",
        "        os.kill(os.getpid(), signal.SIGTERM)\n",
        "",
        "engine/test_process.py",
        "a run goes on although nobody is left who asked for it",
    ),
    Fault(
        "engine/process.py",
        "left_out = {*_NOT_INHERITED, *withheld}",
        "left_out = {*_NOT_INHERITED}",
        "engine/test_process.py",
        "a tenant's process has the variables of all the others",
    ),
    Fault(
        "engine/pools.py",
        "    os.setsid()\n",
        "",
        "engine/test_process.py",
        "Ctrl-C in the terminal reaches each tenant's run",
    ),
    Fault(
        "core/redaction.py",
        "if not hiding.search(masked) or not search.is_leak(masked):",
        "if masked:",
        "evidence/test_withheld.py",
        "a stranger's text with the base64 of a token ends every run of a tenant",
    ),
    Fault(
        "evidence/leaks.py",
        "            reader.withhold(hidden)\n",
        "            pass\n",
        "evidence/test_withheld.py",
        "a line from before a secret was known ends every run of a tenant",
    ),
    Fault(
        "evidence/verify/verify_chain.py",
        "    if hidden:\n",
        "    if not hidden:\n",
        "evidence/test_withheld.py",
        "a journal may hide lines that its bundles show",
    ),
    Fault(
        "engine/dask_pool.py",
        'if not write_once(mark, b""):',
        "if not request:",
        "engine/test_dask_pool.py",
        "what a lost worker may have spent is spent again",
    ),
    Fault(
        "engine/dask_pool.py",
        "            if following:\n",
        "            for _ in following[:0]:\n",
        "engine/test_dask_pool.py",
        "only the first tenant of an App ID runs",
    ),
    Fault(
        "cli/junit_option.py",
        'getattr(error, "exit_code", None) == ExitCode.USAGE',
        "True",
        "cli/test_run_junit.py",
        "a CI shows the result of an earlier run for one that was not sealed",
    ),
)


def main(words: Iterable[str]) -> int:
    """Plant each selected fault, print the results, and return the exit code."""
    console = Console()
    chosen = [
        candidate
        for candidate in FAULTS
        if not words or any(word in candidate.file for word in words)
    ]
    if not chosen:
        console.print("No fault is in a file of that name.")
        return 1
    table = Table("file", "what it impact", "", "s")
    with tempfile.TemporaryDirectory(prefix="runbook-faults-") as name:
        project = _copy(Path(name) / "project")
        tests = sorted({candidate.tests for candidate in chosen})
        unspoiled = _run(project, tests)
        if unspoiled.returncode != _GREEN:
            console.print(unspoiled.stdout, "These tests are red before anything is planted.")
            return 1
        is_well = True
        for fault in chosen:
            began = time.monotonic()
            test_result = _plant(project, fault)
            is_well = is_well and test_result == "red"
            table.add_row(fault.file, fault.impact, test_result, f"{time.monotonic() - began:.0f}")
    console.print(table)
    return 0 if is_well else 1


def _copy(project: Path) -> Path:
    """Copy the files that the tests need to `project`."""
    for name in _NEEDED:
        shutil.copytree(ROOT / name, project / name, ignore=_LEFT_OUT)
    shutil.copy(ROOT / "pyproject.toml", project)
    return project


def _plant(project: Path, fault: Fault) -> str:
    """Run the tests of `fault` with it in the copy, and return the result."""
    path = project / fault.file
    if not path.exists():
        path = project / "runbook_lib" / fault.file
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    if text.count(fault.text) != 1:
        return f"found {text.count(fault.text)} times"
    path.write_text(text.replace(fault.text, fault.planted), encoding="utf-8")
    try:
        code = _run(project, [fault.tests]).returncode
    finally:
        path.write_text(text, encoding="utf-8")
    return {_RED: "red", _GREEN: "GREEN"}.get(code, f"no test ran (pytest: {code})")


def _run(project: Path, tests: Iterable[str]) -> subprocess.CompletedProcess[str]:
    """Run these files, of `tests/unit` or `tests/sandbox`, up to the first failure."""
    files = [f"tests/{'' if file.startswith('sandbox/') else 'unit/'}{file}" for file in tests]
    plain = ("-pno:cacheprovider", "-pno:randomly")
    command = [sys.executable, "-m", "pytest", "-q", "-x", *plain, *files]
    # NOTE: bytecode is compared by size and whole seconds; a planted fault may differ in neither.
    environ = {**os.environ, "PYTHONPATH": str(project), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        command,
        cwd=project,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_PATIENCE_SECONDS * len(files),
        check=False,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
