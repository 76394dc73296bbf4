"""Warnings in words with what to try, given only when there is evidence."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kinema.core.results import Batch, Result
from kinema.core.system import Player
from kinema.nn.norm import Spectral, singular_values, top_singular_value

WELL, GONE, DULL = 0.5, 0.25, 0.1
"""variety of previews, as a share of that of real items: from which on a run is well, under which one that
was well has collapsed, and under which one that never was is warned of"""
SURE_AFTER = 2
"""previews in a row that make a run well, and that make a collapse"""


class Health:
    """Remembers what it takes to see that something goes wrong; says it once until it is well again."""

    def __init__(self, players: Mapping[str, Player]) -> None:
        self.players = list(players)
        self.asleep = set(players)
        """players that were not trained yet"""
        self.zero_lines = dict.fromkeys(self.players, 0)
        self.first_sigma: dict[str, list[float]] = {}
        self.previews = 0
        self.well = self.collapsed = False
        """what the newest preview said: as varied as real items; no longer so"""
        self.was_well = False
        self.wells = self.dull = 0
        """previews in a row that were well, and that no longer were"""
        self.said: set[str] = set()

    def losses(self, means: Mapping[str, float]) -> list[str]:
        """A player whose first term is zero for three lines has won the game; the others learn nothing."""
        found = []
        self.asleep -= {term.partition("/")[0] for term in means}
        for player in self.players if len(self.players) > 1 else ():
            term = next((k for k in means if k.startswith(player + "/")), None)
            won = term is not None and abs(means[term]) < 1e-3
            self.zero_lines[player] = self.zero_lines[player] + 1 if won else 0
            text = (
                f"{player} is saturated: {term} stays near zero, so its opponents get no useful gradient. "
                "Try a lower learning rate for it, a gradient penalty, or spectral normalisation."
            )
            found += self._once(f"saturated {player}", self.zero_lines[player] >= 3, text)
        return found

    def worries(self, found: Mapping[str, str]) -> list[str]:
        """Of what the system itself sees in a line of the log, what is new."""
        own = {f"worry {key}": text for key, text in found.items()}
        new = [text for key, text in own.items() if key not in self.said]
        self.said = {key for key in self.said if not key.startswith("worry ")} | own.keys()
        return new

    def preview(self, result: Result, batch: Mapping[str, Any]) -> list[str]:
        """Items that differ far less from each other than real ones do, from the third preview on."""
        self.well = self.collapsed = False
        if self.asleep:
            return []
        self.previews += 1
        if not isinstance(result, Batch) or len(result) < 4:
            return []
        made = spread(result)
        real = next(
            (v for v in batch.values() if isinstance(v, Tensor) and v.is_floating_point() and v.dim() >= 4),
            None,
        )
        expected = 0.05 if real is None else float(real.float().std(0, unbiased=False).mean())
        text = (
            f"collapse: the previews differ by {made:.3f} from each other, real items by {expected:.3f}. "
            "Try a gradient penalty, or a lower learning rate for the critic."
        )
        self.well = made >= WELL * expected
        self.wells = self.wells + 1 if self.well else 0
        self.was_well |= self.wells >= SURE_AFTER
        self.dull = self.dull + 1 if self.was_well and made < GONE * expected else 0
        self.collapsed = self.dull >= SURE_AFTER
        return self._once("collapse", self.dull > 0 or (self.previews > 2 and made < DULL * expected), text)

    def weights(self, parameters: Mapping[str, list[torch.nn.Parameter]]) -> list[str]:
        """A player whose largest singular value has grown tenfold since the run was begun or resumed."""
        found = []
        for player, weights in parameters.items():
            now = [top_singular_value(w) for w in weights if w.dim() >= 2]
            first = self.first_sigma.setdefault(player, now)
            growth = max((b / max(a, 1e-3) for a, b in zip(first, now, strict=True)), default=1.0)
            text = (
                f"{player}: a weight's largest singular value has grown {growth:.0f}-fold. "
                "Training may soon break: try a lower learning rate or spectral normalisation."
            )
            found += self._once(f"growth {player}", growth > 10, text)
        return found

    def end(self) -> list[str]:
        """Players that a finished run never came to."""
        names = ", ".join(sorted(self.asleep))
        text = f"{names} was never trained: the first steps train other parts only. Raise `steps`."
        return self._once("asleep", bool(self.asleep), text)

    def _once(self, key: str, wrong: bool, text: str) -> list[str]:
        new = wrong and key not in self.said
        self.said = self.said | {key} if wrong else self.said - {key}
        return [text] if new else []


def spread(result: Batch) -> float:
    """How far items differ, for pixels in [-1, 1]; within labels, if each has four items or more."""
    pixels = np.stack([item.frames for item in result]).astype(np.float32) / 127.5
    labels = np.array(result.labels if len(result.labels) == len(pixels) else [""] * len(pixels))
    groups = [pixels[labels == label] for label in dict.fromkeys(labels.tolist())]
    if min(map(len, groups)) < 4:
        groups = [pixels]
    return float(np.mean([group.std(0).mean() for group in groups]))


def spectra(system: nn.Module) -> dict[str, Any]:
    """The three largest singular values of every weight under spectral norm, before it is divided.

    Returns:
        "spectra": name of the layer -> values; and for each network "NAME spectrum/σ0", "σ1" and "σ2", the
        largest of its layers. Nothing where no weight is under spectral norm.
    """
    layers: dict[str, list[float]] = {}
    for name, weight in system.named_parameters():
        layer, held, _ = name.partition(".parametrizations.")
        for part in system.get_submodule(name.rpartition(".")[0]).children() if held else ():
            if isinstance(part, Spectral):
                values = singular_values(part.matrix(weight))
                layers[layer] = [float(f"{value:.4g}") for value in values]
    largest: dict[str, float] = {}
    for layer, values in layers.items():
        for i, value in enumerate(values):
            key = f"{layer.partition('.')[0]} spectrum/σ{i}"
            largest[key] = max(value, largest.get(key, 0.0))
    return largest | ({"spectra": layers} if layers else {})
