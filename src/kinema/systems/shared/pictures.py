"""What SAGAN and BigGAN share: the update, and how pictures of classes are asked for.

A room gives the networks and what only its paper says. The update: hinge loss of Lim & Ye 2017
(arXiv:1705.02894) on a critic with projection (Miyato & Koyama 2018, arXiv:1802.05637); generated pictures
have classes drawn anew.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Generator as Steps
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kinema.core.errors import UsageError, nearest
from kinema.core.results import Batch, Image, Pixels, Result, Video
from kinema.core.system import Extent, Losses, Player, Progress, System, Update, adversaries
from kinema.losses import r3gan
from kinema.losses.adaptive import STRENGTH, SURE, Strengths, surety
from kinema.losses.adversarial import ADVERSARIAL, WASSERSTEIN, Adversarial, gradient_penalty
from kinema.losses.game import ABSOLUTE, COMPARED, EVERY, changes
from kinema.losses.lecam import Anchors
from kinema.losses.wasserstein import slope_penalty
from kinema.nn.attention import SelfAttention, twice_differentiable
from kinema.nn.conditional import Table
from kinema.nn.factory import parsed
from kinema.nn.norm import cumulative_statistics
from kinema.nn.sampling import clip_seed, in_parts, in_use, one_hot
from kinema.systems.shared.checking import check_request
from kinema.systems.shared.config import PictureConfig, PictureRequest
from kinema.systems.shared.looking import Watch, first_attention, laid_over, where_it_looks

OBJECTIVES: dict[str, Adversarial] = {
    **ADVERSARIAL,
    "softplus": ADVERSARIAL["log"]._replace(fool=ADVERSARIAL["hinge"].fool),
    "wasserstein": WASSERSTEIN,
    "r3gan": r3gan.PAIRS,
}
FPS = 8
STANDING, STANDING_BATCH, STANDING_SEED = 16, 64, 3_000_000_000
"""batches of standing statistics, pictures in each, and the seed of the first, far from those of what is
shown and scored; below 2^32, since generators on a CPU do not read higher bits
"""
LOOKS = 16
"""pictures whose maps of attention are held at a time"""
THRESHOLDS = (0.2, 0.4, 0.6, 0.8, 1.0, 1.5, 2.0)
"""truncations at which quality and variety are weighed"""
GAMMA, ACCURACY = "gamma", "accuracy"
"""terms without gradient, for the log: γ of the generator's attention; how often the critic is right"""
SHOWN = 8
"""classes of a preview or an example, and pictures of each"""


class PictureSystem(System):
    """A class and noise become a picture. A room sets `generator` and `critic`, then calls `begin`."""

    metrics = ("pictures",)
    serving = ("generator",)
    reads = "pictures"
    config: PictureConfig
    generator: nn.Module
    critic: nn.Module

    def begin(self) -> None:
        """What the update needs besides the networks."""
        self.strengths = Strengths(self.config, ["critic"])
        self.anchors = Anchors() if self.config.lecam else None

    @classmethod
    def adapt(cls, config: Any, data: Any) -> Any:
        """Take the classes from the data."""
        return replace(config, classes=tuple(data.captions)) if config.conditional else config

    @property
    def class_parts(self) -> tuple[str, ...]:
        """The tables of classes, of norms and of the critic."""
        return tuple(name for name, module in self.named_modules() if isinstance(module, Table))

    def players(self) -> dict[str, Player]:
        """`critic` and `generator`."""
        return adversaries(self.config, {"critic": self.critic}, self.generator)

    # ---- the update ----

    def step(self, batch: dict[str, Any], progress: Progress) -> Steps[Losses, None, None]:
        """The critic on parts of the step's pictures in turn, then the generator; or both at once."""
        c, real = self.config, batch["image"]
        label = self.one_hot(batch["caption"]) if c.conditional else None
        if len(real) % c.critic_steps:
            given = f"{len(real)} pictures cannot be shared by critic_steps={c.critic_steps} updates"
            raise UsageError(f"{given}: batch, and micro_batch if set, is a multiple of {c.critic_steps}.")
        for turn in range(c.critic_steps):
            rows = slice(turn, None, c.critic_steps)
            said = None if label is None else label[rows]
            z, drawn = self.draw(progress, rows)
            if c.updates == "simultaneous" and turn == c.critic_steps - 1:
                fake = self.generator(z, drawn)
                terms, true, false = self.critic_terms(real[rows], said, fake, drawn, progress, rows)
                fool = self.objective.fool(false, true.detach())
                yield {"critic": terms, "generator": {"fool": fool, **self.penalties()}}
                return
            with torch.no_grad():
                fake = self.generator(z, drawn)
            yield {"critic": self.critic_terms(real[rows], said, fake, drawn, progress, rows)[0]}
        z, drawn = self.draw(progress, rows)
        change = changes(c, progress, self.strengths.of("critic"), rows)
        false = self.critic(change(self.generator(z, drawn)), drawn)
        true = false.detach()
        if c.loss in COMPARED:
            with torch.no_grad():
                true = self.critic(change(real[rows]), said)
        yield {"generator": {"fool": self.objective.fool(false, true), **self.penalties()}}

    def penalties(self) -> dict[str, Tensor]:
        """Further terms of the generator: how much its layers of attention count, without gradient."""
        layers = [m for m in self.generator.modules() if isinstance(m, SelfAttention)]
        return {f"{GAMMA}{i or ''}": layer.gamma.detach().clone() for i, layer in enumerate(layers)}

    @property
    def objective(self) -> Adversarial:
        """What both players pay."""
        return OBJECTIVES[self.config.loss]

    def draw(self, progress: Progress, rows: slice) -> tuple[Tensor, Tensor | None]:
        """Noise (B, Z) and one-hot classes (B, K), all equally likely, for some rows of a step."""
        z, k = progress.randn(self.config.noise)[rows], len(self.config.classes)
        if not self.config.conditional:
            return z, None
        return z, F.one_hot((progress.rand()[rows] * k).long(), k).float()

    def critic_terms(
        self,
        real: Tensor,
        said: Tensor | None,
        fake: Tensor,
        drawn: Tensor | None,
        progress: Progress,
        rows: slice = EVERY,
    ) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """Terms of L_D, and the logits of real and of generated pictures.

        One pass judges both, but where gradients at pictures are penalised, which autocast must not touch.
        """
        c, paired = self.config, self.config.loss == "r3gan"
        change = changes(c, progress, self.strengths.of("critic"), rows)
        penalised = c.r1 > 0 and progress.step % c.r1_every == 0
        if paired or penalised:
            real = real.detach().requires_grad_()
            fake = fake.requires_grad_() if paired and not fake.requires_grad else fake
            with twice_differentiable(real.device):
                true, false = self.critic(change(real), said), self.critic(change(fake), drawn)
        else:
            classes = None if said is None or drawn is None else torch.cat([drawn, said])
            false, true = self.critic(torch.cat([change(fake), change(real)]), classes).chunk(2)
        terms = {"fake": self.objective.false(false, true)}
        if c.loss not in COMPARED:
            terms = {"real": self.objective.true(true), **terms}
        terms[ACCURACY] = accuracy(true, false, c.loss in ABSOLUTE)
        if paired:
            gamma = r3gan.annealed(c.gamma, progress.fraction)
            terms["r1"] = gamma * gradient_penalty(true, real)
            terms["r2"] = gamma * gradient_penalty(false, fake)
        elif penalised:
            terms["r1"] = c.r1 * c.r1_every * gradient_penalty(true, real)
        if c.gradient_penalty:
            with twice_differentiable(real.device):
                judge = partial(self.critic, classes=said)
                slope = slope_penalty(judge, real, fake, progress.rand()[rows])
            terms["slope"] = c.gradient_penalty * slope
        if self.anchors is not None:
            terms |= self.anchors.terms(true, false, c.lecam)
        if (strength := self.strengths.of("critic")) is not None:
            sure = surety(true, None if c.loss in ABSOLUTE else false)
            terms |= {SURE: sure, STRENGTH: strength.clone()}
        return terms, true, false

    def after_update(self, player: str, update: Update) -> None:
        """Follow what the critic said, where augmentation or LeCam depend on it."""
        self.strengths.after_update(player, update)
        if self.anchors is not None:
            self.anchors.after_update(player, update)

    # ---- use ----

    def one_hot(self, labels: Sequence[str]) -> Tensor:
        """Names of classes -> (B, K)."""
        return one_hot(labels, self.config.classes, self.device)

    @property
    def thresholds(self) -> tuple[float, ...]:
        """Truncations that are looked at when quality and variety are weighed."""
        return THRESHOLDS

    def settle(self, batches: Iterable[dict[str, Any]]) -> None:
        """Take the statistics of batch norm for the weights as they are, on noise that is always the same."""
        if not self.config.settled:
            return
        with cumulative_statistics(self.generator):
            for batch in batches:
                self.generator(*self.codes(batch["index"].tolist(), batch["caption"], None))

    @contextmanager
    def standing(self, truncation: float | None, request: PictureRequest) -> Iterator[None]:
        """Inside, batch norms have statistics of noise truncated so ("standing"), with classes in turn."""
        del request
        if truncation is None or parsed(self.config.norm)[0] not in ("bn", "brn"):
            yield
            return
        buffers = [buffer.clone() for buffer in self.generator.buffers()]
        classes = self.config.classes or ("",)
        with torch.no_grad(), cumulative_statistics(self.generator):
            for i in range(STANDING):
                places = range(i * STANDING_BATCH, (i + 1) * STANDING_BATCH)
                said = [classes[k % len(classes)] for k in places]
                self.generator(*self.codes([STANDING_SEED + k for k in places], said, truncation))
        try:
            yield
        finally:
            for buffer, before in zip(self.generator.buffers(), buffers, strict=True):
                buffer.copy_(before)

    def codes(
        self, seeds: Iterable[int], labels: Sequence[str], truncation: float | None
    ) -> tuple[Tensor, Tensor | None]:
        """Noise (N, Z), a row for every seed, and one-hot classes (N, K) if there are classes."""
        z = torch.stack([self.noise(seed, truncation) for seed in seeds]).to(self.device)
        return z, self.one_hot(labels) if self.config.conditional else None

    def noise(self, seed: int, truncation: float | None) -> Tensor:
        """Noise (Z) of a seed."""
        return noise(seed, self.config.noise, truncation)

    def examples(self, captions: Sequence[str], clips: Callable[[], Any]) -> dict[str, dict[str, Any]]:
        """Some pictures of each class; of one class rows of truncations, and where attention looks."""
        del captions, clips
        classes = self.config.classes[:SHOWN] if self.config.conditional else ()
        one = {"label": classes[:2][-1:], "n": SHOWN if classes else 1}
        found: dict[str, dict[str, Any]] = {
            "a row for each class": {"label": classes, "n": SHOWN},
            "truncations of 0.3, 0.6 and 1, a row each": {**one, "truncation": (0.3, 0.6, 1.0)},
        }
        if any(isinstance(m, SelfAttention) for m in self.generator.modules()):
            found["what attention sees from the red place"] = {**one, "look": (0.25, 0.5)}
        return found

    def extent(self, request: PictureRequest) -> Extent:
        """Pictures, or the frames of a walk."""
        c = self.config
        if request.walk:
            return Extent(1, request.n, c.size, c.size)
        pictures = max(1, len(request.truncation)) * len(self.labels(request)) * request.n
        return Extent(pictures, 1, c.size, c.size * (2 if request.look else 1), request.n)

    def labels(self, request: PictureRequest) -> list[str]:
        """The classes asked for, or all of them; one nameless class where there are none.

        Raises:
            UsageError: a class is not known, or there are none.
        """
        c = self.config
        if request.label and not c.conditional:
            raise UsageError("these weights were trained without classes, so label cannot be chosen.")
        for label in request.label:
            if label not in c.classes:
                raise UsageError(f"no class is called '{label}'; {nearest(label, c.classes)}.")
        return list(request.label or c.classes or ("",))

    def run(self, request: PictureRequest) -> Result:
        """A picture; several, a row for each class and truncation; or a walk, as a clip."""
        labels = self.labels(request)
        check_request(request, self.config.conditional)
        if request.walk:
            return self.walk(request, labels)
        said = [label for label in labels for _ in range(request.n)]
        seeds = [clip_seed(request.seed, i) for _ in labels for i in range(request.n)]
        rows = []
        for truncation in request.truncation or (None,):
            with self.standing(truncation, request):
                rows.append(self.pictures(*self.codes(seeds, said, truncation), request.look))
        made = np.concatenate(rows)
        if len(made) == 1:
            return Image(made[0, 0])
        items = [Video(frame, Fraction(FPS)) for frame in made]
        return Batch(items, labels=said * len(rows), columns=request.n)

    def pictures(self, z: Tensor, classes: Tensor | None, look: tuple[float, float] | None) -> Pixels:
        """As `render`; with a place that looks, the map of attention beside each: uint8 (N, 1, S, 2 S, 3)."""
        if look is None:
            return self.render(z, classes)
        layer, size, made = first_attention(self.generator), self.config.size, []
        for some in (slice(i, i + LOOKS) for i in range(0, len(z), LOOKS)):
            with Watch(layer) as watch:
                pixels = self.render(z[some], None if classes is None else classes[some])
            with in_use(self):
                maps = watch.maps()
                weights, corner = where_it_looks(layer, maps, look, size)
            made.append(laid_over(pixels, weights, corner, size // maps.shape[-1]))
        return np.concatenate(made)

    def walk(self, request: PictureRequest, labels: Sequence[str]) -> Video:
        """From one noise to another, or from the first class to the second; the other stays."""
        both = request.walk == "noise"
        seeds = [clip_seed(request.seed, i) for i in ((0, 1) if both else (0, 0))]
        said = [labels[0], labels[0 if both else 1]]
        truncation = request.truncation[0] if request.truncation else None
        ends = self.codes(seeds, said, truncation)
        share = torch.linspace(0, 1, request.n, device=self.device)[:, None]
        z, classes = (None if end is None else torch.lerp(end[:1], end[1:], share) for end in ends)
        assert z is not None
        with self.standing(truncation, request):
            return Video(self.render(z, classes)[:, 0], Fraction(FPS))

    def render(self, z: Tensor, classes: Tensor | None, batch: int = 64) -> Pixels:
        """Noise (N, Z) and classes (N, K) -> pictures as clips of one frame, uint8 (N, 1, S, S, 3)."""

        def make(some: slice) -> Tensor:
            pictures: Tensor = self.generator(z[some], None if classes is None else classes[some])
            return pictures.unsqueeze(2)

        return in_parts(self, make, len(z), batch)

    def generate(self, captions: Sequence[str], seeds: Sequence[int], batch: int = 64) -> Pixels:
        """One picture for every class and seed: uint8 (N, 1, S, S, 3); each depends on its own only."""
        return self.render(*self.codes(seeds, captions, None), batch)

    def truncated(
        self, captions: Sequence[str], seeds: Sequence[int], truncation: float, batch: int = 64
    ) -> Iterator[Pixels]:
        """As `generate`, some at a time, from noise truncated so, with the statistics that belong to it."""
        with self.standing(truncation, self.Request()):
            for i in range(0, len(seeds), batch):
                yield self.render(*self.codes(seeds[i : i + batch], captions[i : i + batch], truncation))

    def recognised(self, batch: dict[str, Any]) -> float | None:
        """Share of real pictures that the critic calls real; None where its logits have no zero."""
        if self.config.loss not in ABSOLUTE:
            return None
        classes = self.one_hot(batch["caption"]) if self.config.conditional else None
        with in_use(self):
            logits: Tensor = self.critic(batch["image"].to(self.device), classes)
        return float((logits > 0).float().mean())

    def preview(self, batch: dict[str, Any]) -> Batch:
        """Up to eight classes (rows), eight pictures of each, the same noise every time."""
        del batch
        classes = self.config.classes[:SHOWN] or ("",) * SHOWN
        said = [label for label in classes for _ in range(SHOWN)]
        seeds = [clip_seed(0, i) for i in range(len(said))]
        made = self.render(*self.codes(seeds, said, None))
        return Batch([Video(frame, Fraction(FPS)) for frame in made], labels=said, columns=SHOWN)

    def export_module(self) -> tuple[nn.Module, tuple[Tensor, ...], list[str], list[str]]:
        """The generator for ONNX: module, example inputs, names of inputs and outputs."""
        classes = self.config.classes
        z, said = self.codes([0, 1], [classes[0], classes[-1]] if classes else ["", ""], None)
        given = (z,) if said is None else (z, said)
        return self.generator.eval(), given, ["noise", "class"][: len(given)], ["picture"]


def accuracy(true: Tensor, false: Tensor, absolute: bool) -> Tensor:
    """Share of logits (B,) on the right side of zero, without gradient.

    Args:
        true: of real pictures.
        false: of generated ones.
        absolute: zero means something; else the share of pairs whose real picture has the larger one.
    """
    with torch.no_grad():
        if not absolute:
            return (true > false).float().mean()
        return torch.cat([true > 0, false < 0]).float().mean()


def noise(seed: int, width: int, truncation: float | None) -> Tensor:
    """Noise (Z) of a seed; with truncation t every number beyond it is drawn again until |z| <= t."""
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(width, generator=generator)
    while truncation is not None and (far := z.abs() > truncation).any():
        z[far] = torch.randn(int(far.sum()), generator=generator)
    return z
