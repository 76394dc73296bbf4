"""The documents say what works: every block below a line `<!-- tested -->` is run as it stands.

The blocks of one page run in order in one empty folder, so that a later one may use what an earlier one made.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("src/kinema/systems/*/README.md")]
BLOCK = re.compile(r"^<!-- tested -->\n+```(bash|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RUNNERS = {"bash": ["bash", "-euo", "pipefail", "-c"], "python": [sys.executable, "-c"]}


def blocks(page: Path) -> list[tuple[str, str]]:
    """Language and text of the blocks of a page that are to be run."""
    return BLOCK.findall(page.read_text("utf-8"))


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Where `kinema` is the one under test, installed or not, and one thread is used."""
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    command = bin_ / "kinema"
    command.write_text(
        f"#!{sys.executable}\nimport sys\nfrom kinema.apps.cli import main\n\nsys.exit(main())\n", "utf-8"
    )
    command.chmod(0o755)
    return os.environ | {
        "PATH": f"{bin_}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT / "src"),
        "OMP_NUM_THREADS": "1",
    }


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p)], ids=lambda p: str(p.relative_to(ROOT)))
def test_page(page: Path, tmp_path: Path, environment: dict[str, str]) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    for language, text in blocks(page):
        done = subprocess.run(
            [*RUNNERS[language], text],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{text}\nended with {done.returncode}:\n{done.stdout}\n{done.stderr}"


def test_every_mark_stands_above_a_block() -> None:
    for page in PAGES:
        marks = page.read_text("utf-8").count("<!-- tested -->")
        assert marks == len(blocks(page)), f"{page.name}: a mark is not followed by a bash or python block"
