"""The house is in order: files, sizes, links, versions, and what the README says of the systems."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

import kinema
from kinema.systems import SYSTEMS

ROOT = Path(__file__).parents[1]
GOLDEN = ROOT / "tests/golden"
WEIGHTS = ROOT / "src/kinema/weights"
PACKAGE = ROOT / "src/kinema"
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


@pytest.fixture(scope="module")
def files() -> list[Path]:
    """Everything that is, or is about to be, part of the repository."""
    if not (ROOT / ".git").exists() or not shutil.which("git"):
        pytest.skip("not a clone")
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    out = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [path for name in out.split("\0") if name and (path := ROOT / name).is_file()]


def is_text(path: Path) -> bool:
    """Written by hand, so neither binary nor numbers recorded by a program."""
    return GOLDEN not in path.parents and b"\0" not in path.read_bytes()[:8192]


def test_nothing_waits_to_be_filled_in(files: list[Path]) -> None:
    for path in files:
        if path.suffix == ".md":
            assert not re.search(r"@[A-Z]+@", path.read_text("utf-8")), path


def test_text_files_end_with_one_newline(files: list[Path]) -> None:
    for path in files:
        if is_text(path) and (data := path.read_bytes()):
            assert data.endswith(b"\n"), path
            assert not data.endswith(b"\n\n"), path
            assert b"\r" not in data, path


def test_large_files_are_bundled_weights_or_data(files: list[Path]) -> None:
    for path in files:
        if PACKAGE not in path.parents or path.suffix not in (".npz", ".safetensors"):
            assert path.stat().st_size <= 500_000, path


def test_weights_stay_small(files: list[Path]) -> None:
    sizes = {path: path.stat().st_size for path in files if WEIGHTS in path.parents}
    for path, size in sizes.items():
        assert size <= 8_000_000, path
    assert sum(sizes.values()) <= 80_000_000


def test_configuration_files_parse(files: list[Path]) -> None:
    for path in files:
        if path.suffix == ".toml":
            tomllib.loads(path.read_text("utf-8"))
        elif path.suffix in (".yaml", ".yml", ".cff"):
            yaml.safe_load(path.read_text("utf-8"))


def test_links_between_files_lead_somewhere(files: list[Path]) -> None:
    for path in files:
        if path.suffix == ".md":
            for target in LINK.findall(path.read_text("utf-8")):
                assert (path.parent / target).exists(), f"{path.relative_to(ROOT)} links to {target}"


def test_one_version_everywhere() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert kinema.__version__ == version
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))["version"] == version
    newest = re.search(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert newest
    assert newest[1] == version


def test_readme_states_what_exists() -> None:
    rows = re.findall(
        r"^\| `([\w-]+)` \|.*\| (\w+) \|$", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE
    )
    assert len(rows) == 17
    assert {name for name, state in rows if state != "planned"} == set(SYSTEMS)
