"""TGAN: the update of the paper, and its use.

Saito, Matsumoto, Saito, "Temporal Generative Adversarial Nets with Singular Value Clipping", ICCV 2017,
arXiv:1611.06624. Where we differ: in the authors' code the generator moves first in an iteration, and the
critic then learns from the clips made before that. Here the critic learns first, from clips of the generator
as it is, and the generator is judged by the critic that has just learned. Losses are means over clips, and
RMSprop is Adam without momentum. What else differs is an option of `Config` whose default is the paper's.
"""

from collections.abc import Callable, Iterable, Sequence
from collections.abc import Generator as Steps
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor, nn

from kinema.core.config import at_least_one, not_negative
from kinema.core.errors import UsageError
from kinema.core.results import Batch, Pixels, Video
from kinema.core.system import Extent, Losses, Player, Progress, System, Update, adversaries
from kinema.losses.adaptive import Strengths
from kinema.losses.game import Game, check
from kinema.nn.norm import cumulative_statistics
from kinema.nn.sampling import check_clips, clip_seed, codes, in_parts
from kinema.systems.tgan import config as settings
from kinema.systems.tgan.bounds import clip_singular_values, clip_weights
from kinema.systems.tgan.losses import OBJECTIVES
from kinema.systems.tgan.networks import Critic, Generator


class TGAN(System):
    """A code becomes a code for every frame, and those become a clip."""

    name = "tgan"
    Config = settings.Config
    Request = settings.Request
    metrics = ("moving_shapes", "fd_random", "acd", "nearest_training")
    serving = ("generator",)

    def __init__(self, config: settings.Config) -> None:
        super().__init__()
        _check(config)
        self.config = config
        self.generator = Generator(config)
        self.critic = Critic(config)
        self.strengths = Strengths(config, ["critic"])

    def players(self) -> dict[str, Player]:
        """`critic` and `generator`, which is G0 and G1."""
        return adversaries(self.config, {"critic": self.critic}, self.generator)

    def step(self, batch: dict[str, Any], progress: Progress) -> Steps[Losses, None, None]:
        """The critic, then the generator; or both at once."""
        real, game = batch["video"], Game(self.config, progress, OBJECTIVES, self.strengths.of("critic"))
        if len(real) < 2:  # the batch norm of z0 has one value a clip
            raise UsageError(
                "TGAN learns from pieces of at least 2 clips: choose a larger batch or micro_batch."
            )
        if self.config.updates == "alternating":
            with torch.no_grad():
                fake = self.generator(self.noise(progress))
            yield {"critic": game.critic_terms(self.critic, real, fake)}
            fake = self.generator(self.noise(progress))
            yield {"generator": {"fool": game.generator_term(self.critic, fake, real)}}
        else:
            terms, fool = game.both(self.critic, real, self.generator(self.noise(progress)))
            yield {"critic": terms, "generator": {"fool": fool}}

    def after_update(self, player: str, update: Update) -> None:
        """Bind the critic by what `Config.bound` names; see that it is not too sure."""
        c = self.config
        self.strengths.after_update(player, update)
        if player != "critic":
            return
        if c.bound == "weights":
            clip_weights(self.critic)
        elif c.bound == "singular_values" and update.step % c.bound_every == 0:
            clip_singular_values(self.critic)

    def noise(self, progress: Progress) -> Tensor:
        """z0 (B, Z), uniform in [-1, 1]."""
        return 2 * progress.rand(self.config.noise) - 1

    # ---- use ----

    def settle(self, batches: Iterable[dict[str, Any]]) -> None:
        """Take the statistics of batch norm for the weights as they are, on noise that is always the same."""
        if not self.config.settled:
            return
        with cumulative_statistics(self.generator):
            for batch in batches:
                self.generator(self.codes(batch["index"].tolist()))

    def codes(self, seeds: Iterable[int]) -> Tensor:
        """z0 (N, Z), a row for every seed."""
        return 2 * codes(torch.rand, seeds, self.config.noise).to(self.device) - 1

    def examples(self, captions: Sequence[str], clips: Callable[[], Any]) -> dict[str, dict[str, Any]]:
        """Some clips, and a walk from one to another."""
        del captions, clips
        return {"clips": {"n": 12}, "from one clip to another": {"n": 6, "walk": True}}

    def extent(self, request: settings.Request) -> Extent:
        """`n` clips, those of a walk side by side."""
        return super().extent(request)._replace(columns=request.n if request.walk else None)

    def run(self, request: settings.Request) -> Video | Batch:
        """Clips, or a walk from one to another."""
        check_clips(request.n, request.seed)
        if request.walk and request.n < 2:
            raise UsageError(f"a walk has at least 2 steps, not n={request.n}.")
        if request.walk:
            first, last = self.codes(clip_seed(request.seed, i) for i in (0, 1))
            z0 = torch.stack([first.lerp(last, i / (request.n - 1)) for i in range(request.n)])
        else:
            z0 = self.codes(clip_seed(request.seed, i) for i in range(request.n))
        clips = [Video(frames, Fraction(self.config.fps)) for frames in self.render(z0)]
        what = "step" if request.walk else "clip"
        labels = [f"{what} {i}" for i in range(request.n)]
        columns = request.n if request.walk else None
        return clips[0] if request.n == 1 else Batch(clips, labels=labels, columns=columns)

    def render(self, z0: Tensor, batch: int = 16) -> Pixels:
        """Codes z0 (N, Z) -> clips uint8 (N, T, S, S, 3); each depends on its own code only."""
        return in_parts(self, lambda some: self.generator(z0[some]), len(z0), batch)

    def generate(self, captions: Sequence[str], seeds: Sequence[int], batch: int = 16) -> Pixels:
        """One clip for every seed: uint8 (N, T, S, S, 3). Captions are not read."""
        del captions
        return self.render(self.codes(seeds), batch)

    def preview(self, batch: dict[str, Any]) -> Batch:
        """Up to sixteen clips, of the same noise every time."""
        frames = self.render(self.codes(clip_seed(0, i) for i in range(min(16, len(batch["video"])))))
        return Batch([Video(clip, Fraction(self.config.fps)) for clip in frames])

    def export_module(self) -> tuple[nn.Module, tuple[Tensor, ...], list[str], list[str]]:
        """Both generators as one for ONNX: module, example inputs, names of inputs and outputs."""
        return self.generator.eval(), (self.codes([0, 1]),), ["noise"], ["video"]


def _check(config: settings.Config) -> None:
    """Refuse what cannot be built or trained, before anything long starts."""
    c = config
    if c.frames != 16:
        raise UsageError(f"TGAN makes clips of 16 frames, not {c.frames}.")
    if c.size < 16 or c.size % 16:
        raise UsageError(f"size is a multiple of 16, not {c.size}.")
    if c.channels not in (1, 3):
        raise UsageError(f"a clip has 1 or 3 channels, not {c.channels}.")
    at_least_one(c, "noise", "width", "critic_width", "bound_every", "fps")
    not_negative(c, "lr", "critic_lr")
    if c.loss == "wasserstein" and c.bound == "none" and not c.r1:
        raise UsageError("a wasserstein critic grows without end when nothing binds it; set bound or r1.")
    check(c)
    if c.loss != "r3gan":
        return
    if c.critic_norm != "none":
        raise UsageError(
            f"loss=r3gan needs a critic without batch norm: critic_norm=none, not {c.critic_norm}."
        )
    if c.bound != "none":
        raise UsageError(f"loss=r3gan holds its critic by penalties alone: bound=none, not {c.bound}.")
