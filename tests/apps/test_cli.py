"""The command itself: verbs, help without torch, errors as one line with an exit code."""

import subprocess
import sys

import pytest

from kinema.apps.cli import VERBS


def python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("argv", [["--help"], ["list"], ["list", "tgans-c"], ["train", "tgans-c", "--help"]])
def test_answers_without_importing_torch(argv: list[str]) -> None:
    code = f"import sys; from kinema.apps.cli import main; print(main({argv}), 'torch' in sys.modules)"
    assert python(code).splitlines()[-1] == "0 False"


def test_importing_kinema_imports_no_torch_and_gives_load_and_version() -> None:
    said = python("import sys, kinema; print(kinema.__version__, kinema.load, 'torch' in sys.modules)")
    assert said.split()[-1] == "False"


def test_help_names_every_verb(kinema) -> None:
    said = kinema("--help")
    assert said.code == 0
    assert all(f"kinema {verb}" in said.out for verb in VERBS)


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_every_verb_answers_help(kinema, verb: str) -> None:
    said = kinema(verb, "--help")
    assert said.code == 0
    assert verb in said.out


def test_nothing_asked_is_wrong_usage(kinema) -> None:
    assert kinema().code == 2


def test_an_unknown_verb_names_the_nearest(kinema) -> None:
    said = kinema("traim")
    assert said.code == 2
    assert said.err.startswith("kinema: there is no verb 'traim'; nearest: train")
    assert said.err.count("\n") == 1


def test_a_wrong_flag_names_the_nearest(kinema) -> None:
    said = kinema("list", "--wieghts")
    assert said.code == 2
    assert "--weights" in said.err


def test_an_unknown_system_names_the_nearest(kinema) -> None:
    for verb in ("train", "list", "bench"):
        said = kinema(verb, "tgan-c")
        assert said.code == 2
        assert "tgans-c" in said.err


def test_python_dash_m() -> None:
    code = "import runpy, sys; sys.argv = ['kinema', '--version']; runpy.run_module('kinema')"
    assert python(code).startswith("kinema ")
