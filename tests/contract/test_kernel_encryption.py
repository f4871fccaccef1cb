"""The kernels of `runbook lab` are encrypted, so ipykernel does not warn of eavesdroppers."""

from __future__ import annotations

from pathlib import Path

from jupyter_client.manager import KernelManager
from traitlets.config import Config

from runbook_lib.walkthrough import lab

_PATIENCE_SECONDS = 60


def test_a_kernel_of_the_walkthrough_does_not_warn_of_eavesdroppers(tmp_path: Path) -> None:
    """With the server's option, a kernel starts, responds, and logs no warning."""
    name, _, policy = lab._ENCRYPTED.removeprefix("--KernelManager.").partition("=")
    config = Config({"KernelManager": {name: policy}})
    manager = KernelManager(config=config, connection_file=str(tmp_path / "kernel.json"))
    log = tmp_path / "stderr"
    with log.open("wb") as file:
        manager.start_kernel(stderr=file, cwd=str(tmp_path))
    client = manager.blocking_client()
    try:
        client.start_channels()
        client.wait_for_ready(timeout=_PATIENCE_SECONDS)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)

    assert "eavesdropping" not in log.read_text(encoding="utf-8")
