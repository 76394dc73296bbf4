"""The command `kinema`: finds the verb, runs it, and turns errors that teach into one line and an exit code.

Each verb is a module with `main(args) -> exit code`, imported when asked for, so that `kinema --help` is
quick. Exit codes: 0 done, 1 failed, 2 wrong usage, 3 stopped by a signal with the state saved.
"""

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

from kinema import __version__
from kinema.core.errors import KinemaError, UsageError, nearest


class Verb(NamedTuple):
    """Where a verb lives, as "module:function", how it is called, and what it does."""

    where: str
    usage: str
    does: str


VERBS = {
    "demo": Verb("kinema.apps.demo:main", "demo [--out DIR]", "tour on the bundled weights, on one page"),
    "list": Verb(
        "kinema.apps.listing:main", "list [NAME] [--weights]", "systems, presets, settings, weights"
    ),
    "run": Verb(
        "kinema.apps.run:main", "run NAME … --out FILE", "use a system: flags are those of its request"
    ),
    "data": Verb(
        "kinema.apps.data:main",
        "data make|check|cut|fetch|pack|action-units …",
        "make or fetch a data set, check yours, cut videos, measure faces",
    ),
    "train": Verb(
        "kinema.apps.train:main",
        "train NAME --preset P --data D --out DIR",
        "train; the same command resumes",
    ),
    "evaluate": Verb(
        "kinema.apps.evaluate:main", "evaluate DIR …", "scores of runs side by side, with protocol"
    ),
    "bench": Verb("kinema.apps.bench:main", "bench NAME", "speed: the paper's path against the default path"),
    "export": Verb(
        "kinema.apps.export:main", "export DIR --to onnx|weights", "for onnxruntime, or half-size weights"
    ),
    "convert": Verb(
        "kinema.apps.convert:main", "convert NAME FILE --out DIR", "import a published checkpoint, safely"
    ),
    "convert-norm": Verb(
        "kinema.apps.convert_norm:main",
        "convert-norm RUN --to gn:groups=8 --out DIR",
        "put another norm into a trained network",
    ),
    "replay": Verb(
        "kinema.apps.replay:main", "replay FILE", "make the same pixels again from a file's own record"
    ),
    "doctor": Verb(
        "kinema.apps.doctor:main", "doctor", "what this machine has, and whether weights are intact"
    ),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; returns its exit code."""
    args = list(sys.argv[1:] if argv is None else argv)
    try:
        return _dispatch(args)
    except KinemaError as error:
        print("kinema:", " ".join(str(error).split()), file=sys.stderr)
        return error.exit_code
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        print("kinema: there is not enough memory for this; ask for less at once.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("kinema: stopped before it was done.", file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader of our output has left: `kinema list | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except SystemExit as end:  # from the parser: 0 after --help, 2 after wrong flags
        return end.code if isinstance(end.code, int) else 2


def out_of_memory(error: BaseException) -> bool:
    """Whether memory ended, in the words of Python, numpy or PyTorch."""
    if "torch" in sys.modules:
        from kinema.engine.devices import ran_out_of_memory

        return ran_out_of_memory(error)
    return isinstance(error, MemoryError)


def _dispatch(args: list[str]) -> int:
    if not args or args[0] in ("-h", "--help", "help"):
        print(overview())
        return 0 if args else 2
    if args[0] in ("-V", "--version"):
        print(f"kinema {__version__}")
        return 0
    if args[0] not in VERBS:
        raise UsageError(f"there is no verb '{args[0]}'; {nearest(args[0], VERBS)}. See `kinema --help`.")
    module, _, function = VERBS[args[0]].where.partition(":")
    verb: Callable[[list[str]], int] = getattr(importlib.import_module(module), function)
    return verb(args[1:])


def overview() -> str:
    """What `kinema --help` prints."""
    width = max(len(verb.usage) for verb in VERBS.values())
    lines = [f"  kinema {verb.usage:<{width}}  {verb.does}" for verb in VERBS.values()]
    return "\n".join(
        [
            f"kinema {__version__} — makes pictures move with adversarial networks",
            "",
            *lines,
            "",
            "`kinema VERB --help` shows a verb's flags; verbs that report take --json.",
        ]
    )
