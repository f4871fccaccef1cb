"""`python -m tools.bench`, which `make bench` runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.runs.conftest import ROOT


def test_the_bench_measures_a_row_beside_another(tmp_path: Path) -> None:
    """A row that is named prints its figures, each with the one beside it, and writes them."""
    path = tmp_path / "figures.json"
    words = ["-m", "tools.bench", "verify", "--quick", "--json", str(path)]
    bench = subprocess.run(
        [sys.executable, *words], cwd=ROOT, capture_output=True, text=True, timeout=240, check=False
    )
    assert bench.returncode == 0, bench.stderr
    rows = json.loads(path.read_bytes())["rows"]
    assert [row[2] for row in rows] == ["s", "processor s", "peak MiB"]
    assert all(beside == "one bundle" for _, beside, *_ in rows)
    for name, _, _, ours, other in rows:
        assert ours > 0
        assert other > 0
        assert name in bench.stdout
        assert f"{ours}" in bench.stdout
