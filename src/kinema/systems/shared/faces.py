"""What GANimation and StarGAN share: the update, and how a face is edited.

A room gives the networks and what only its paper says. The update: Pumarola et al. 2018 (arXiv:1807.09251),
section 4.2, which is that of Choi et al. 2018 (arXiv:1711.09020) with intensities of action units where those
have classes. Where we differ: the gradient penalty is a term of the critic's update (`penalty=apart` is the
authors' way), and targets are those of other faces of the whole set.
"""

from collections.abc import Callable, Sequence
from collections.abc import Generator as Steps
from dataclasses import replace
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kinema.core.errors import DataError, UsageError, nearest
from kinema.core.results import Batch, Image, Pixels, Result, Video
from kinema.core.system import Extent, Losses, Player, Progress, System, adversaries
from kinema.data.action_units import UNITS
from kinema.data.clips import LEVELS
from kinema.losses.adversarial import LEAST_SQUARES, WASSERSTEIN
from kinema.losses.wasserstein import slope_penalty
from kinema.nn.attention import twice_differentiable
from kinema.nn.sampling import in_use, to_uint8
from kinema.systems.shared.face_asking import extent
from kinema.systems.shared.face_config import FaceConfig, FaceRequest
from kinema.systems.shared.face_networks import Critic, Judged
from kinema.systems.shared.face_use import run

OBJECTIVES = {"wgan-gp": WASSERSTEIN, "lsgan": LEAST_SQUARES}
VARIES = 0.01
"""standard deviation of a unit's intensity, below which it is taken for constant"""
SHOWN = 8
"""faces of a preview"""
FPS = 8


class Edit(NamedTuple):
    """Faces with other action units, and how they came about: edited = mask · face + (1 - mask) · colour."""

    edited: Tensor
    """(B, 3, S, S) in [-1, 1]"""
    mask: Tensor
    """how much of each pixel is the face's own, (B, 1, S, S) in [0, 1]"""
    colour: Tensor
    """(B, 3, S, S) in [-1, 1]"""


class FaceSystem(System):
    """A face and action units become a face. A room has `generator` and `critic`, and says how to `paint`."""

    serving = ("generator",)
    reads = "faces"
    metrics = ("face_edits",)
    config: FaceConfig
    generator: nn.Module
    critic: Critic

    @classmethod
    def adapt(cls, config: Any, data: Any) -> Any:
        """Keep the units that vary in the data: of others nothing can be learnt."""
        deviation = dict(zip(UNITS, data.units.std(0), strict=True))
        _places(config.units)
        units = tuple(unit for unit in config.units if deviation[unit] > VARIES)
        if not units:
            named = ", ".join(config.units)
            raise DataError(f"none of {named} varies in {data.where}, so there is nothing to learn.")
        return replace(config, units=units)

    def players(self) -> dict[str, Player]:
        """`critic` and `generator`."""
        return adversaries(self.config, {"critic": self.critic}, self.generator)

    def paint(self, images: Tensor, units: Tensor) -> Edit:
        """G: faces (B, 3, S, S) and the units wanted of them (B, K) -> the edit."""
        raise NotImplementedError

    def mask_terms(self, there: Edit, back: Edit) -> dict[str, Tensor]:
        """What the generator pays for its mask, on both passes."""
        del there, back
        return {}

    # ---- the update ----

    def step(self, batch: dict[str, Any], progress: Progress) -> Steps[Losses, None, None]:
        """The critic on parts of the step's faces in turn, then the generator on the last part."""
        c, items = self.config, len(batch["image"])
        if items % c.critic_steps:
            given = f"{items} faces cannot be shared by critic_steps={c.critic_steps} updates"
            raise UsageError(f"{given}: batch, and micro_batch if set, is a multiple of {c.critic_steps}.")
        faces, own = self.mirrored(batch["image"], progress), self.chosen(batch["action_units"])
        if progress.step < c.first_steps:
            yield {"critic": self.unit_terms(self.critic(self.noisy(faces, progress)).units, own)}
            if progress.step % c.critic_steps == 0:
                rows = slice(0, None, c.critic_steps)
                painted = self.paint(faces[rows], self.targets(batch, progress)[rows]).colour
                yield {"generator": {"colour": c.lambda_cycle * F.l1_loss(painted, faces[rows])}}
            return
        for turn in range(c.critic_steps):
            rows = slice(turn, None, c.critic_steps)
            real, wanted, chance = faces[rows], self.targets(batch, progress)[rows], progress.rand()[rows]
            with torch.no_grad():
                made = self.noisy(self.paint(real, wanted).edited, progress, rows)
            real = self.noisy(real, progress, rows)
            terms = self.critic_terms(real, own[rows], made)
            if c.penalty == "together":
                terms |= self.slope(real, made, chance)
            yield {"critic": terms}
            if c.penalty == "apart" and (slope := self.slope(real, made, chance)):
                yield {"critic": slope}
        wanted = self.targets(batch, progress)[rows]
        second = self.targets(batch, progress)[rows] if c.virtual_cycle else None
        noise = self.noisy(torch.zeros_like(faces[rows]), progress, rows)
        yield {"generator": self.generator_terms(faces[rows], own[rows], wanted, second, noise)}

    def mirrored(self, faces: Tensor, progress: Progress) -> Tensor:
        """Half of the faces (B, 3, S, S), left and right exchanged."""
        if not self.config.flip:
            return faces
        turned = progress.rand() < 0.5
        return torch.where(turned[:, None, None, None], faces.flip(3), faces)

    def noisy(self, faces: Tensor, progress: Progress, rows: slice = slice(None)) -> Tensor:
        """Faces (B, 3, S, S) as the critic sees them; `rows` are their places in the step."""
        first, last = self.config.critic_noise
        if not first and not last:
            return faces
        spread = first + (last - first) * progress.fraction
        return faces + spread * progress.randn(*faces.shape[1:])[rows]

    def targets(self, batch: dict[str, Any], progress: Progress) -> Tensor:
        """For each item the units of one of the others that came with it, plus noise: (B, K)."""
        c, others = self.config, batch["others"]  # (B, 8, 17)
        one = (progress.rand() * others.shape[1]).long()
        wanted = self.chosen(others[torch.arange(len(others), device=others.device), one])
        wanted = wanted + c.target_noise * (2 * progress.rand(wanted.shape[1]) - 1)
        return wanted.clamp(0, 1) if c.clip_targets else wanted

    def judge(self, real: Tensor, made: Tensor) -> tuple[Judged, Judged]:
        """What the critic says of real and of edited faces, in one pass."""
        patches, units = (both.chunk(2) for both in self.critic(torch.cat([real, made])))
        return Judged(patches[0], units[0]), Judged(patches[1], units[1])

    def critic_terms(self, real: Tensor, own: Tensor, made: Tensor) -> dict[str, Tensor]:
        """L_D: units of real faces alone, and patches; `error` has no gradient: for the log.

        Args:
            real: faces (B, 3, S, S).
            own: their units (B, K).
            made: edited ones (B, 3, S, S).
        """
        objective = OBJECTIVES[self.config.loss]
        true, false = self.judge(real, made)
        terms = {"real": objective.true(true.patches), "fake": objective.false(false.patches, true.patches)}
        return self.unit_terms(true.units, own) | terms

    def unit_terms(self, judged: Tensor, wanted: Tensor) -> dict[str, Tensor]:
        """What is paid for units (B, K) that are judged other than they should be; `error` is for the log."""
        weight = self.config.lambda_au
        terms = {"units": weight * F.mse_loss(judged, wanted)} if weight else {}
        return terms | {"error": (judged.detach() - wanted).abs().mean()}

    def slope(self, real: Tensor, made: Tensor, chance: Tensor) -> dict[str, Tensor]:
        """The gradient penalty between real and edited faces, in float32; lsgan has none."""
        c = self.config
        if c.loss != "wgan-gp" or not c.lambda_gp:
            return {}
        with twice_differentiable(real.device):
            return {"slope": c.lambda_gp * slope_penalty(self.critic.realness, real, made, chance)}

    def generator_terms(
        self, real: Tensor, own: Tensor, wanted: Tensor, second: Tensor | None, noise: Tensor | float = 0.0
    ) -> dict[str, Tensor]:
        """L_G: units, the way back, patches and the mask; `error` has no gradient: for the log.

        Args:
            real: faces (B, 3, S, S).
            own: their units (B, K).
            wanted: targets (B, K).
            second: targets that a further cycle goes on to, (B, K), or none.
            noise: what the critic sees added to faces (B, 3, S, S).
        """
        c = self.config
        there = self.paint(real, wanted)
        back = self.paint(there.edited, own)  # of the edited face, not of its colour
        judged = self.critic(there.edited + noise)
        terms = self.unit_terms(judged.units, wanted)
        if c.lambda_cycle:
            terms["cycle"] = c.lambda_cycle * F.l1_loss(back.edited, real)
        if second is not None:
            farther = self.paint(there.edited, second).edited
            terms["virtual"] = c.lambda_cycle * F.l1_loss(self.paint(farther, own).edited, real)
        terms["fool"] = OBJECTIVES[c.loss].fool(judged.patches, judged.patches.detach())
        return terms | self.mask_terms(there, back)

    # ---- use ----

    def chosen(self, units: Tensor) -> Tensor:
        """All action units (B, 17) -> those of the condition (B, K)."""
        return units[:, _places(self.config.units)]

    def edit(self, images: Tensor, units: Tensor) -> Edit:
        """Faces with other action units, as in use.

        Args:
            images: (B, 3, S, S) in [-1, 1], cut as in training.
            units: all 17 action units wanted, (B, 17) in [0, 1]; those that were not learnt are passed over.
        """
        with in_use(self):
            return self.paint(images.to(self.device), self.chosen(units.to(self.device)))

    def edited(self, pixels: Pixels, units: Any, batch: int = 64) -> tuple[Pixels, Any]:
        """Many face crops edited, for scoring.

        Args:
            pixels: uint8 (N, S, S, 3).
            units: float32 (N, 17).
            batch: faces at a time.

        Returns:
            Edited crops uint8 (N, S, S, 3), and how much of each pixel was kept, float32 (N, S, S).
        """
        made, kept = [], []
        for start in range(0, len(pixels), batch):
            images = torch.from_numpy(LEVELS[pixels[start : start + batch]]).movedim(-1, 1)
            edit = self.edit(images, torch.from_numpy(units[start : start + batch]))
            made.append(to_uint8(edit.edited.unsqueeze(2))[:, 0])
            kept.append(edit.mask[:, 0].float().cpu().numpy())
        return np.concatenate(made), np.concatenate(kept)

    def examples(self, captions: Sequence[str], clips: Callable[[], Any]) -> dict[str, dict[str, Any]]:
        """Held-out rendered faces that become happy and surprised, and one action unit on its way."""
        del captions
        data = clips()
        faces = tuple(
            Image(face, provenance={"data": data.where}) for face in data.pixels(range(0, 32, 8))[:, 0]
        )
        same = {"image": faces, "cropped": True, "label": False, "frames": 16}
        found = {name: {**same, "expression": (name,)} for name in ("happy", "surprised", "angry")}
        return {**found, "the jaw drops": {**same, "sweep": "AU26"}}

    def extent(self, request: FaceRequest) -> Extent:
        """A picture or clip for every photograph, or the edited video."""
        return extent(request, self.config.size)

    def run(self, request: FaceRequest) -> Result:
        """Faces with the expression asked for, in the pictures they were found in."""
        return run(self, request)

    def shown(self, images: Tensor, edit: Edit) -> list[Tensor]:
        """What a preview has side by side, each (B, 3, S, S) in [-1, 1]."""
        return [images, edit.edited]

    def preview(self, batch: dict[str, Any]) -> Batch:
        """Up to eight faces, and beside each what is made of it with another one's units."""
        images = batch["image"][:SHOWN].to(self.device)
        rows = torch.cat(self.shown(images, self.edit(images, batch["others"][:SHOWN, 0])), 3)
        return Batch([Video(row, Fraction(FPS)) for row in to_uint8(rows.unsqueeze(2))], columns=2)

    def export_module(self) -> tuple[nn.Module, tuple[Tensor, ...], list[str], list[str]]:
        """The generator for ONNX: module, example inputs, names of inputs and outputs."""
        size, k = self.config.size, len(self.config.units)
        face = torch.linspace(-1, 1, 6 * size * size, device=self.device).view(2, 3, size, size)
        units = torch.linspace(0, 1, 2 * k, device=self.device).view(2, k)
        return self.generator.eval(), (face, units), ["face", "units"], ["edited"]


def _places(units: Sequence[str]) -> list[int]:
    """Where units stand among all 17."""
    for unit in units:
        if unit not in UNITS:
            raise UsageError(
                f"'{unit}' is no action unit, so faces cannot be edited by it; {nearest(unit, UNITS)}."
            )
    return [UNITS.index(unit) for unit in units]
