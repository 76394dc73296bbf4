"""MD-GAN: the update of both stages, and their use.

Xiong, Luo, Ma, Liu, Luo, "Learning to Generate Time-Lapse Videos Using Multi-Stage Dynamic Generative
Adversarial Networks", CVPR 2018, arXiv:1709.07592. The authors released no training code. Where we differ
from their inference: batch norms stand on statistics over training clips, so that a photo gives the same clip
alone and among others.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Generator as Steps
from fractions import Fraction
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kinema.core.config import at_least_one, not_negative
from kinema.core.errors import UsageError
from kinema.core.results import Batch, Image, Pixels, Video
from kinema.core.system import Extent, Losses, Player, Progress, System, Update
from kinema.data.prepare import squash
from kinema.losses.adaptive import Strengths
from kinema.losses.adversarial import ADVERSARIAL
from kinema.losses.game import Game, Judge, check
from kinema.nn.initial import keeping_sizes
from kinema.nn.norm import cumulative_statistics
from kinema.nn.sampling import in_parts, in_use, to_uint8
from kinema.systems.md_gan import config as settings
from kinema.systems.md_gan.losses import Ranking, content, ranking
from kinema.systems.md_gan.networks import Critic, Generator, Judged, Stage, repeat
from kinema.systems.md_gan.photo import check_memory, fade, largest, paste, read_photos, to_tensor

log = logging.getLogger("kinema")
LENGTHS = range(2, 1001)
OBJECTIVES = {
    **ADVERSARIAL,
    "minimax": ADVERSARIAL["log"]._replace(fool=lambda false, true: -F.softplus(false).mean()),
}
SHOWN = 4
"""photos of a demonstration"""


class MDGAN(System):
    """A photo becomes a short clip; nothing is left to chance."""

    name = "md-gan"
    Config = settings.Config
    Request = settings.Request
    metrics = ("photo_motion", "wind")
    serving = ("generator",)

    def __init__(self, config: settings.Config) -> None:
        super().__init__()
        _check(config)
        self.config = config
        self.generator = Generator(config)
        self.critic = Critic(config)
        self.strengths = Strengths(config, ["critic"])
        self.apply(_normal_init)
        if config.critic_norm == "none":
            self.critic.apply(keeping_sizes)
        self.train()

    @property
    def inherits(self) -> tuple[str, ...]:
        """What training does not begin anew: the second stage needs a trained first one."""
        return ("generator.base",) if self.config.stage == "refine" else ()

    @property
    def trained(self) -> Stage:
        """The generator that this configuration trains."""
        stage = self.generator.base if self.config.stage == "base" else self.generator.refine
        assert stage is not None
        return stage

    def train(self, mode: bool = True) -> Self:
        """The Base-Net behind which the Refine-Net is trained stays as it is used."""
        super().train(mode)
        if self.config.stage == "refine" and self.generator.base is not None:
            self.generator.base.eval()
        return self

    def players(self) -> dict[str, Player]:
        """`critic` and `generator` of the stage that is trained."""
        c = self.config
        return {
            "critic": Player([self.critic], c.lr, c.betas, decay_from=c.decay_from),
            "generator": Player(
                [self.trained],
                c.lr,
                c.betas,
                ema_halflife_images=c.ema_halflife_images,
                decay_from=c.decay_from,
            ),
        }

    def step(self, batch: dict[str, Any], progress: Progress) -> Steps[Losses, None, None]:
        """The critic on a real and a made clip, then the generator; or both at once."""
        real = batch["video"]
        source = self.source(real)
        game = Game(self.config, progress, OBJECTIVES, self.strengths.of("critic"))
        if self.config.updates == "alternating":
            with torch.no_grad():
                made = self.trained(source)
            judge, seen = self.judge()
            terms = game.critic_terms(judge, real, made)
            yield {"critic": terms | self.critic_ranks(self.ranks(seen[-1], seen[0], source))}
            made = self.trained(source)
            judge, seen = self.judge()
            fool = game.generator_term(judge, made, real)
            ranks = self.ranks(seen[0], real, source)
            yield {"generator": self.generator_terms(fool, made, real, ranks)}
        else:
            made = self.trained(source)
            judge, seen = self.judge()
            terms, fool = game.both(judge, real, made)
            ranks = self.ranks(seen[-1], seen[0], source)
            yield {
                "critic": terms | self.critic_ranks(ranks),
                "generator": self.generator_terms(fool, made, real, ranks),
            }

    def after_update(self, player: str, update: Update) -> None:
        """A critic that is too sure sees more changes, and fewer otherwise, if the configuration says so."""
        self.strengths.after_update(player, update)

    # ---- the objective ----

    def source(self, real: Tensor) -> Tensor:
        """What the stage in training is given: X, the first frame T times, or Y1 = G1(X) (B, 3, T, S, S)."""
        photo = real[:, :, 0]
        if self.config.stage != "refine" or self.generator.base is None:
            return repeat(photo, self.config.frames)
        with torch.no_grad():
            return self.generator.base.animate(photo)

    def judge(self) -> tuple[Judge, list[Judged]]:
        """The critic as the game needs it, and what it says of each batch of clips that it is shown."""
        seen: list[Judged] = []

        def judge(clips: Tensor) -> Tensor:
            seen.append(self.critic(clips))
            return seen[-1].logits

        return judge, seen

    def ranks(self, made: Judged, real: Judged | Tensor, source: Tensor) -> dict[str, Ranking]:
        """The ranking at both layers, in the second stage; real clips (B, 3, T, S, S) are judged for it."""
        c = self.config
        if not _ranks(c):
            return {}
        truth = self.critic(real) if isinstance(real, Tensor) else real
        return ranking(c.ranking, c.ranking_form, made, truth, self.critic(source))

    def critic_ranks(self, ranks: dict[str, Ranking]) -> dict[str, Tensor]:
        """Terms of L_D besides the adversarial ones: the ranking, which the critic maximises."""
        c = self.config
        return {f"rank_{k}": -c.ranking_weight * r.loss for k, r in ranks.items() if c.ranking_critic}

    def generator_terms(
        self, fool: Tensor, made: Tensor, real: Tensor, ranks: dict[str, Ranking]
    ) -> dict[str, Tensor]:
        """Terms of L_G = L_adv + L_con + lambda L_rank; `near` and `far` have no gradient: for the log."""
        c = self.config
        terms = {"fool": fool, "content": c.content_weight * content(c.content, made, real)}
        for layer, rank in ranks.items():
            terms[f"rank_{layer}"] = c.ranking_weight * rank.loss
            terms |= {f"near_{layer}": rank.near, f"far_{layer}": rank.far}
        return terms

    def settle(self, batches: Iterable[dict[str, Any]]) -> None:
        """Take the statistics of the generator's batch norms anew, over clips for training."""
        with cumulative_statistics(self.trained):
            for batch in batches:
                self.trained(self.source(batch["video"]))

    # ---- use ----

    def examples(self, captions: Sequence[str], clips: Callable[[], Any]) -> dict[str, dict[str, Any]]:
        """Some held-out photos that begin to move."""
        del captions
        photos = clips().pixels(range(SHOWN))[:, 0]
        return {f"photo {i} begins to move": {"image": (Image(photo),)} for i, photo in enumerate(photos)}

    def extent(self, request: settings.Request) -> Extent:
        """A clip for every photo, of its size or of the network's."""
        photos, height, width = largest(request.image)
        if request.size == "net":
            height = width = self.config.size
        return Extent(photos, self._length(request), height, width)

    def _length(self, request: settings.Request) -> int:
        """Frames of a clip; a loop spends a quarter of its length on its seam."""
        frames = self.config.frames * 4 // 5 if request.loop else self.config.frames
        return frames if request.length is None else request.length

    def run(self, request: settings.Request) -> Video | Batch:
        """One clip for every photo, each computed on its own."""
        c = self.config
        stages = {"base": (1,), "refine": (1, 2), "one-stage": (2,)}[c.stage]
        stage = request.stage or stages[-1]
        if stage not in stages:
            held = " and ".join(map(str, stages))
            more = "; `--preset refine` trains the second" if c.stage == "base" else ""
            raise UsageError(f"these weights hold stage {held}, not {stage}{more}.")
        length = self._length(request)
        if length not in LENGTHS:
            raise UsageError(f"length is from {LENGTHS[0]} to {LENGTHS[-1]} frames, not {length}.")
        fps = c.fps if request.fps is None else request.fps
        if not 1 <= fps <= 240:
            raise UsageError(f"fps is from 1 to 240, not {fps}.")
        names, photos = read_photos(request.image)
        if request.size == "photo":
            check_memory(photos, length)
            if any(max(photo.shape[:2]) > c.size for photo in photos):
                log.warning(
                    "the network works at %dx%d: motion is as coarse as that, and is added to the photo; "
                    "size=net gives the small clip itself.",
                    c.size,
                    c.size,
                )
        clips = [self._animate(photo, stages.index(stage), length, request) for photo in photos]
        videos = [Video(clip, Fraction(fps)) for clip in clips]
        return videos[0] if len(videos) == 1 else Batch(videos, labels=names)

    def _animate(self, photo: Pixels, stage: int, length: int, request: settings.Request) -> Pixels:
        """The clip of one photo, uint8 (T, H, W, 3) or (T, S, S, 3)."""
        needed = length + (length // 4 if request.loop else 0)
        clip = to_tensor(squash(photo, self.config.size)).unsqueeze(1).to(self.device)  # (3, 1, S, S)
        parts: list[Tensor] = []
        with in_use(self):
            while sum(part.shape[1] for part in parts) < needed:
                made = self.generator(clip[:, -1][None])[0, stage].float()  # (3, T, S, S)
                parts.append(made if not parts else made[:, 1:])  # its first frame is the one before it
                clip = made
        clip = torch.cat(parts, 1)[:, :needed]
        still = clip[:, 0]
        if request.loop:
            clip = fade(clip, length)
        return paste(photo, clip, still) if request.size == "photo" else to_uint8(clip)

    def animate(self, photos: Pixels, batch: int = 8) -> Pixels:
        """What all stages make of photos (N, S, S, 3): uint8 (N, stages, T, S, S, 3), for scoring."""

        def make(some: slice) -> Tensor:
            return self.generator(to_tensor(photos[some]).to(self.device))

        return in_parts(self, make, len(photos), batch)

    def preview(self, batch: dict[str, Any]) -> Batch:
        """Real clips and, to their right, what each stage makes of their first frames."""
        real = to_uint8(batch["video"][:8])  # (B, T, S, S, 3)
        made = self.animate(real[:, 0])
        rows = [np.concatenate([clip, *stages], axis=2) for clip, stages in zip(real, made, strict=True)]
        return Batch([Video(row, Fraction(self.config.fps)) for row in rows])

    def export_module(self) -> tuple[nn.Module, tuple[Tensor, ...], list[str], list[str]]:
        """The generator for ONNX: module, example inputs, names of inputs and outputs."""
        size = self.config.size
        return (
            self.generator.eval(),
            (torch.linspace(-1, 1, 6 * size * size, device=self.device).view(2, 3, size, size),),
            ["photo"],
            ["clips"],
        )


def _check(config: settings.Config) -> None:
    """Refuse what cannot be built or trained, before anything long starts."""
    if config.frames < 16 or config.frames % 16:
        raise UsageError(f"the network makes 16, 32, 48, … frames (multiples of 16), not {config.frames}.")
    if config.size < 32 or config.size % 32:
        raise UsageError(f"the network makes frames of 32, 64, 96, … pixels, not {config.size}.")
    at_least_one(config, "generator_width", "critic_width", "fps")
    not_negative(config, "lr", "content_weight", "ranking_weight")
    check(config)
    if config.loss == "r3gan" and config.critic_norm != "none":
        norm = config.critic_norm
        raise UsageError(f"loss=r3gan needs a critic without batch norm: critic_norm=none, not {norm}.")
    if config.augment and _ranks(config):
        raise UsageError("augment changes what the ranking compares: ranking=none, or no augment.")


def _ranks(config: settings.Config) -> bool:
    """Whether clips are ranked: in the second stage alone."""
    return config.stage != "base" and config.ranking != "none"


def _normal_init(module: nn.Module) -> None:
    """N(0, 0.02) for every convolution, which the paper does not state."""
    if isinstance(module, nn.modules.conv._ConvNd):
        nn.init.normal_(module.weight, 0, 0.02)
