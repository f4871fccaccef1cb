"""Keys near the evidence are found by their path, as named and as resolved."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from runbook_lib.errors import SettingsError
from runbook_lib.evidence.verify.nearby import keys_near_evidence

BUNDLE = Path("project/evidence/acme/facebook_marketing/20261124T120000Z-0a1b2c3d")
EVIDENCE = Path("project/evidence")
LEVELS = (BUNDLE, *BUNDLE.parents[:3])


@pytest.fixture(autouse=True)
def _tree(folder: Path) -> None:
    """Work above a project with evidence and its keys, and have the same key elsewhere."""
    BUNDLE.mkdir(parents=True)
    for place in (EVIDENCE / "keys", Path("trusted")):
        place.mkdir()
        (place / "a.pub.pem").write_text("a key")


def key_in(place: Path) -> Path:
    place.mkdir(parents=True, exist_ok=True)
    (place / "k.pub.pem").write_text("a key")
    return place


def link(path: Path, target: Path) -> Path:
    path.symlink_to(target.absolute())
    return path


def linked_file() -> Path:
    """Return a folder elsewhere that has a link to a key in the evidence."""
    Path("mine").mkdir()
    link(Path("mine/b.pub.pem"), EVIDENCE / "keys" / "a.pub.pem")
    return Path("mine")


NEAR: dict[str, Callable[[], Path]] = {
    "the exported keys": lambda: EVIDENCE / "keys",
    "one of them": lambda: EVIDENCE / "keys" / "a.pub.pem",
    "the tenant's folder": lambda: key_in(EVIDENCE / "acme"),
    "deep in the bundle": lambda: key_in(BUNDLE / "a" / "b"),
    "beside the bundle": lambda: key_in(BUNDLE.parent) / "k.pub.pem",
    "a folder beside the bundle": lambda: key_in(BUNDLE.parent / "mine"),
    "beside the evidence folder": lambda: key_in(EVIDENCE.parent) / "k.pub.pem",
    "a folder beside the evidence folder": lambda: key_in(EVIDENCE.parent / "mine"),
    "in a folder beside it": lambda: key_in(EVIDENCE.parent / "mine") / "k.pub.pem",
    "the folder around it": lambda: key_in(EVIDENCE.parent),
    "a folder far around it": lambda: key_in(Path()),
    "dots": lambda: Path("trusted/../project/./evidence/acme/../keys"),
    "absolute": (EVIDENCE / "keys").absolute,
    "a link to the keys": lambda: link(Path("mine"), EVIDENCE / "keys"),
    "a link to one key": lambda: link(Path("mine.pem"), EVIDENCE / "keys" / "a.pub.pem"),
    "a link to above": lambda: link(Path("mine"), EVIDENCE.parent) / "evidence" / "keys",
    "a link in the evidence to elsewhere": lambda: link(EVIDENCE / "mine", Path("trusted")),
    "a link beside it to elsewhere": lambda: link(EVIDENCE.parent / "mine", Path("trusted")),
    "a folder elsewhere with a link to a key": linked_file,
    "through the process": lambda: Path("/proc/self/cwd") / EVIDENCE / "keys",
}
ELSEWHERE: dict[str, Callable[[], Path]] = {
    "a folder": lambda: Path("trusted"),
    "a file": lambda: Path("trusted/a.pub.pem"),
    "a file in a folder around the project": lambda: key_in(Path()) / "k.pub.pem",
    "a similar name": lambda: key_in(Path("project-evidence")),
    "a link elsewhere": lambda: link(Path("mine"), Path("trusted")),
    "deeper beside the evidence": lambda: key_in(EVIDENCE.parent / "mine" / "keys"),
}


@pytest.mark.parametrize("path", LEVELS, ids=["bundle", "connector", "tenant", "evidence"])
@pytest.mark.parametrize("case", NEAR)
def test_keys_near_the_evidence_are_found(case: str, path: Path) -> None:
    """A key that whoever can change the evidence may choose is found, at each level."""
    named = NEAR[case]()

    assert keys_near_evidence([named, Path("trusted")], [path]) == [named]


@pytest.mark.parametrize("path", LEVELS, ids=["bundle", "connector", "tenant", "evidence"])
@pytest.mark.parametrize("case", ELSEWHERE)
def test_keys_elsewhere_are_not(case: str, path: Path) -> None:
    """A key that is kept elsewhere is not taken for one near the evidence."""
    assert keys_near_evidence([ELSEWHERE[case]()], [path]) == []


@pytest.mark.parametrize(
    "path",
    [
        Path(),
        Path(".."),
        Path("../evidence"),
        Path("acme/.."),
        Path("/proc/self/cwd"),
    ],
    ids=str,
)
def test_the_evidence_may_be_named_in_any_way(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However the evidence is named, keys beside it are found, and others are not."""
    beside = key_in(EVIDENCE.parent / "mine").absolute()
    elsewhere = Path("trusted").absolute()
    monkeypatch.chdir(EVIDENCE / "acme" if path == Path("..") else EVIDENCE)

    assert keys_near_evidence([beside, elsewhere], [path]) == [beside]


def test_evidence_behind_a_link_is_in_both_places() -> None:
    """Keys beside the link, and beside the folder that it leads to, are both found."""
    Path("desk").mkdir()
    evidence = link(Path("desk/evidence"), EVIDENCE)
    found = [key_in(Path("desk/mine")), key_in(EVIDENCE.parent / "mine")]

    assert keys_near_evidence([*found, Path("trusted")], [evidence]) == found


def test_a_bundle_alone_is_all_the_evidence_there_is() -> None:
    """A bundle that was handed over alone has no evidence folder; its own folder counts."""
    alone = Path("received/inbox/deep") / BUNDLE.name
    alone.mkdir(parents=True)

    assert keys_near_evidence([key_in(Path("received/mine"))], [alone]) == []
    assert keys_near_evidence([key_in(alone.parent)], [alone]) == [alone.parent]


def test_each_of_several_paths_counts() -> None:
    """A key is near the evidence if it is near one of the paths that are verified."""
    Path("other/evidence").mkdir(parents=True)

    assert keys_near_evidence([EVIDENCE / "keys"], [Path("other/evidence"), BUNDLE])
    assert not keys_near_evidence([EVIDENCE / "keys"], [Path("other/evidence")])


def test_what_is_not_there_is_not_near() -> None:
    """Links that lead to one another and a missing path end; a folder without a key is named."""
    link(Path("one.pem"), Path("two.pem"))
    link(Path("two.pem"), Path("one.pem"))
    Path("empty").mkdir()

    Path("odd").mkdir()
    odd = [Path("odd", "n" * 300), Path("/dev/null"), Path("a/../b/c")]
    assert keys_near_evidence([Path("trusted/a.pub.pem")], odd) == []
    assert keys_near_evidence([Path("one.pem"), Path("nowhere")], [EVIDENCE]) == []
    with pytest.raises(SettingsError, match=r"ends with \.pub\.pem"):
        keys_near_evidence([Path("empty")], [EVIDENCE])
