"""From dataclasses to flags and back: the one place that knows tyro."""

import ast
import dataclasses
import inspect
import itertools
import textwrap
import typing
from typing import Annotated, Any, TypeVar

import tyro

from kinema.core.errors import UsageError

T = TypeVar("T")


def parse(kind: type[T], args: list[str], prog: str) -> T:
    """Read `args` into dataclass `kind`; wrong flags are named with the nearest ones and end with code 2."""
    config = (tyro.conf.UseAppendAction, tyro.conf.FlagCreatePairsOff)
    return tyro.cli(kind, args=args, prog=f"kinema {prog}", config=config)


def together(description: str, **parts: Any) -> type[Any]:
    """One dataclass whose flags are those of all `parts`: name=(dataclass, default or None), side by side.

    Example:
        >>> from kinema.core.config import RunSettings
        >>> parse(together("Train.", run=(RunSettings, RunSettings())), ["--steps", "3"], "train").run.steps
        3
    """
    fields: list[Any] = []
    for name, (kind, default) in parts.items():
        hint: Any = Annotated[kind, tyro.conf.arg(name="")]
        fields.append((name, hint) if default is None else (name, hint, dataclasses.field(default=default)))
    made = dataclasses.make_dataclass("Flags", fields, frozen=True, kw_only=True)
    made.__doc__ = description
    return made


def first_word(args: list[str], what: str, example: str) -> tuple[str, list[str]]:
    """Split off the name that follows a verb, because it decides which flags exist."""
    if not args or args[0].startswith("-"):
        raise UsageError(f"{what} comes first, for example `kinema {example}`.")
    return args[0], args[1:]


def wants_help(args: list[str]) -> bool:
    """Whether the user asks for help before having named anything."""
    return args[:1] in (["-h"], ["--help"])


def assignments(groups: tuple[tuple[str, ...], ...]) -> list[str]:
    """`--set a=1 b=2 --set c=3` as a flat list."""
    return [text for group in groups for text in group]


def field_docs(kind: type[Any]) -> dict[str, str]:
    """Field name -> the sentence below it in the source of dataclass `kind`, or of what it inherits from."""
    docs: dict[str, str] = {}
    for part in reversed([k for k in kind.__mro__ if dataclasses.is_dataclass(k)]):
        tree = ast.parse(textwrap.dedent(inspect.getsource(part))).body[0]
        for field, below in itertools.pairwise(tree.body if isinstance(tree, ast.ClassDef) else []):
            is_text = isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and is_text:
                docs[field.target.id] = inspect.cleandoc(str(typing.cast("Any", below).value.value))
    return docs
