"""`kinema demo`: the bundled weights at work, on one page with moving results."""

import dataclasses
import shlex
import webbrowser
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kinema.apps import options, say, weights
from kinema.apps.loading import Loaded, load
from kinema.apps.page import figure, page, section, text
from kinema.apps.run import check_writable
from kinema.core.errors import WeightsError
from kinema.core.files import write_text
from kinema.core.results import Batch, Image

NOTHING = (
    "No weights are bundled with this copy yet. Train some, for example "
    "`kinema train tgans-c --preset tiny --out runs/tiny`, and show them: `kinema demo --weights runs/tiny`."
)


@dataclass(frozen=True)
class Options:
    """Run everything that is bundled and write one page that shows it."""

    out: Path = Path("demo")
    """folder to write"""
    weights: tuple[str, ...] = ()
    """show these in place of the bundled ones: names or run folders"""
    seed: int = 0
    """of the noise"""
    open: bool = False
    """open the page in the browser"""
    json: bool = False
    """print what was written as JSON"""


def main(args: list[str]) -> int:
    """Run, write the page, print its path."""
    flags = options.parse(Options, args, "demo")
    check_writable(flags.out, folder=True)
    flags.out.mkdir(parents=True, exist_ok=True)
    names = list(flags.weights or weights.bundled())
    parts = [part for k, name in enumerate(names) for part in show(load(name), k, flags)]
    intro = "Pictures that move, made by adversarial networks. Everything here is synthetic."
    body = [f"<h1>kinema</h1><p>{intro}</p>", *(parts or [f'<p class="warn">{text(NOTHING)}</p>'])]
    index = flags.out / "index.html"
    write_text(index, page("kinema demo", body))
    if not names:
        say.remark(f"kinema: {NOTHING}")
    say.result({"page": str(index.resolve()), "weights": names}, str(index.resolve()), flags.json)
    if flags.open:
        webbrowser.open(index.resolve().as_uri())
    return 0


def show(loaded: Loaded, number: int, flags: Options) -> list[str]:
    """A section of the page for one set of weights; its files are written beside the page."""
    name = Path(loaded.weights).name
    say.remark(f"running {name} …")
    figures = []
    for i, (title, wanted) in enumerate(examples(loaded).items()):
        place = flags.out / f"{number}-{name}-{i}"
        fields = with_files(wanted, place)
        if "seed" in {field.name for field in dataclasses.fields(loaded.system.Request)}:
            fields["seed"] = flags.seed
        made = loaded.run(**fields)
        clip = made.sheet() if isinstance(made, Batch) else made
        files = [clip.save(place.with_name(place.name + ending)) for ending in (".gif", ".mp4")]
        image = f'<a href="{text(files[1].name)}"><img alt="{text(title)}" src="{text(files[0].name)}"></a>'
        line = command(loaded.weights, loaded.system.Request, fields)
        figures.append(figure(image, f"{text(title)}<br><code>{text(line)}</code>"))
    intro = f'<p class="soft">{text(about_line(loaded))}</p>'
    return section(f"{loaded.name}: {name}", [intro, f'<div class="grid small">{"".join(figures)}</div>'])


def examples(loaded: Loaded) -> dict[str, dict[str, Any]]:
    """What the system itself would show of these weights; runs keep some captions of their data."""
    from kinema.apps.train import evenly, open_data

    data = loaded.about.get("data") or {}
    if not data.get("captions") and "where" not in data:
        raise WeightsError(f"{loaded.weights} does not say what it was trained on; use it with `kinema run`.")

    def clips() -> Any:
        return open_data(data, loaded.system.config, "val", loaded.system.reads)

    shown: dict[str, dict[str, Any]] = loaded.system.examples(
        data.get("captions") or evenly(clips().captions), clips
    )
    return shown


def with_files(fields: dict[str, Any], place: Path) -> dict[str, Any]:
    """The same request with pictures written beside the page and named."""

    def named(value: Any, ending: str = "") -> Any:
        if isinstance(value, Image):
            return str(value.save(place.with_name(f"{place.name}{ending}.png")))
        if isinstance(value, tuple):
            return tuple(named(one, f"-{k}") for k, one in enumerate(value))
        return value

    return {key: named(value) for key, value in fields.items()}


def command(weights: str, kind: type[Any], fields: dict[str, Any]) -> str:
    """The line for the shell that makes the same clip; `kind` is the system's request."""
    pairs = {field.name for field in dataclasses.fields(kind) if field.default is None}  # not repeatable
    words = ["kinema", "run", weights]
    for key, value in fields.items():
        if isinstance(value, bool):
            words.append(f"--{key}" if value else f"--no-{key}")
        elif isinstance(value, tuple) and key in pairs:
            words += [f"--{key}", *map(str, value)]
        else:
            for one in value if isinstance(value, tuple) else (value,):
                words += [f"--{key}", str(one)]
    return shlex.join([*words, "--out", "clip.mp4"])


def about_line(loaded: Loaded) -> str:
    """Data and scores of the weights, in one line."""
    scores = ", ".join(f"{key} {value:.3g}" for key, value in weights.headlines(loaded.about).items())
    return " · ".join(filter(None, [loaded.about["data"].get("describe", ""), scores]))
