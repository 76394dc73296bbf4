"""G3AN: the update of the paper, and its use.

Wang, Bilinski, Bremond, Dantcheva, "G3AN: Disentangling Appearance and Motion for Video Generation", CVPR
2020, arXiv:1912.05523. Where we differ: a step moves the power iteration of spectral norm once instead of
once a forward pass; what else differs is an option of `Config` whose default is the paper's.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Generator as Steps
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from functools import partial
from itertools import groupby
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kinema.core.config import at_least_one, not_negative
from kinema.core.errors import UsageError
from kinema.core.results import Batch, Pixels, Video
from kinema.core.system import Extent, Losses, Player, Progress, System, Update, adversaries
from kinema.losses.adaptive import Strengths
from kinema.losses.game import Game, Judge, check
from kinema.nn.norm import BatchNorm3d, cumulative_statistics
from kinema.nn.sampling import in_parts, one_hot
from kinema.systems.g3an import apart
from kinema.systems.g3an import config as settings
from kinema.systems.g3an.networks import WINDOW, Generator, ImageCritic, VideoCritic, width_of
from kinema.systems.g3an.sampling import Code, check_frames, code, plan, time_steps


class G3AN(System):
    """Noise for appearance and noise for motion become a short clip."""

    name = "g3an"
    Config = settings.Config
    Request = settings.Request
    metrics = ("moving_shapes", "fd_random", "acd", "nearest_training")
    serving = ("generator",)

    def __init__(self, config: settings.Config) -> None:
        super().__init__()
        _check(config)
        self.config = config
        self.generator = Generator(config)
        kinds = {"video": VideoCritic, "image": ImageCritic}
        wanted = list(kinds) if config.critics == "both" else [config.critics]
        self.critics = nn.ModuleDict({name: kinds[name](config) for name in wanted})
        if config.apart:
            self.critics.update({"look": apart.LookCritic(config), "motion": apart.MotionCritic(config)})
        self.strengths = Strengths(config, (f"{name}_critic" for name in self.critics))

    @classmethod
    def adapt(cls, config: settings.Config, data: Any) -> settings.Config:
        """Take the classes from the captions of the data."""
        return replace(config, classes=tuple(data.captions)) if config.conditional else config

    def players(self) -> dict[str, Player]:
        """The critics that there are and `generator`, each with its own optimiser."""
        critics = {f"{name}_critic": critic for name, critic in self.critics.items()}
        return adversaries(self.config, critics, self.generator)

    def step(self, batch: dict[str, Any], progress: Progress) -> Steps[Losses, None, None]:
        """Critics, then the generator on the same clips; or all at once."""
        c = self.config
        codes = progress.randn(c.appearance), progress.randn(c.motion, time_steps(c.frames))
        label = self.one_hot(batch["caption"]) if c.conditional else None
        if c.apart:
            if len(codes[0]) < 4:
                what = f"not of {len(codes[0])}: choose a larger batch or micro_batch"
                raise UsageError(f"apart=true makes pairs within pieces of at least 4 clips, {what}.")
            kinds = apart.shared(len(codes[0]), self.device)
            codes = codes[0][kinds[0]], codes[1][kinds[1]]
        # The same window and frames for the whole batch, others for the generated clips: so the paper.
        # The generator of chance stands at the same place in every part of the batch.
        chance = [torch.rand(1 + c.image_frames, generator=progress.generator).tolist() for _ in range(2)]
        draws = [progress.rand(2, 1 + apart.DRAWS) if c.apart else None for _ in range(2)]
        real = self.views(batch["video"], chance[0], draws[0], generated=False)
        games = {k: Game(c, progress, strength=self.strengths.of(f"{k}_critic")) for k in self.critics}
        judges: dict[str, Judge] = dict(self.critics.items())
        if label is not None:  # there are no critics of pairs then
            heard = {"video": label, "image": label.repeat(c.image_frames, 1)}
            judges = {k: partial(critic, label=heard[k]) for k, critic in self.critics.items()}
        if c.updates == "alternating":
            with torch.no_grad(), keeping_statistics(self.generator):
                fake = self.views(self.generator(*codes, label), chance[1], draws[1], generated=True)
            yield {f"{k}_critic": games[k].critic_terms(judges[k], real[k], fake[k]) for k in judges}
            video = self.generator(*codes, label)  # the same clips, their graph made anew
            fake = self.views(video, chance[1], draws[1], generated=True)
            made = {k: games[k].generator_term(judges[k], fake[k], real[k]) for k in judges}
            yield {"generator": self.weighted(made, progress)}
        else:
            fake = self.views(self.generator(*codes, label), chance[1], draws[1], generated=True)
            both = {k: games[k].both(judges[k], real[k], fake[k]) for k in judges}
            critics = {f"{k}_critic": terms for k, (terms, _) in both.items()}
            made = {k: fool for k, (_, fool) in both.items()}
            yield critics | {"generator": self.weighted(made, progress)}

    def views(
        self, video: Tensor, chance: Sequence[float], draws: Tensor | None, *, generated: bool
    ) -> dict[str, Tensor]:
        """What each critic sees of clips (B, C, T, S, S); draws (B, 2, 1 + DRAWS) are for pairs, if any."""
        seen = look(video, chance)
        if draws is None:
            return seen
        itself = torch.arange(len(video), device=video.device)
        others = [itself, itself]  # the second half of a pair is of the same clip
        if generated:
            others = [apart.partner(code) for code in apart.shared(len(video), video.device)]
        seen["look"] = apart.looks(video, others[0], draws[..., 0])
        seen["motion"] = apart.motions(video, others[1], draws[..., 1:])
        return seen

    def weighted(self, terms: dict[str, Tensor], progress: Progress) -> dict[str, Tensor]:
        """The generator's terms, those of pairs by their weight at this step."""
        grown = min(1.0, progress.step / apart.STEPS)
        return {k: grown * apart.WEIGHTS[k] * v if k in apart.WEIGHTS else v for k, v in terms.items()}

    def one_hot(self, labels: Sequence[str]) -> Tensor:
        """Names of classes -> (B, K)."""
        return one_hot(labels, self.config.classes, self.device)

    def after_update(self, player: str, update: Update) -> None:
        """Critics that are too sure see more changes, and fewer otherwise, if the configuration says so."""
        self.strengths.after_update(player, update)

    # ---- use ----

    def settle(self, batches: Iterable[dict[str, Any]]) -> None:
        """Take the statistics of batch norm for the weights as they are, on noise that is always the same."""
        c = self.config
        if not c.settled:
            return
        with cumulative_statistics(self.generator):
            for batch in batches:
                codes = [code(c, seed, seed, c.frames) for seed in batch["index"].tolist()]
                label = self.one_hot(batch["caption"]) if c.conditional else None
                self.generator(*self.stacked(codes), label)

    def stacked(self, codes: Sequence[Code]) -> tuple[Tensor, Tensor]:
        """B codes of one length -> za (B, A), zm (B, M, t)."""
        za, zm = (torch.stack(z).to(self.device) for z in ([c.za for c in codes], [c.zm for c in codes]))
        return za, zm

    def examples(self, captions: Sequence[str], clips: Callable[[], Any]) -> dict[str, dict[str, Any]]:
        """A grid of appearances and motions, and a walk through each."""
        del clips
        label = {"label": captions[0]} if self.config.conditional else {}
        return {
            "rows share a code of appearance, columns one of motion": {"grid": (4, 6), **label},
            "from one appearance to another": {"walk": "appearance", "n": 6, **label},
            "from one motion to another": {"walk": "motion", "n": 6, **label},
        }

    def extent(self, request: settings.Request) -> Extent:
        """As the plan of the request says."""
        wanted, size = plan(request, self.config), self.config.size
        frames = max(clip.frames for clip in wanted.clips)
        return Extent(len(wanted.clips), frames, size, size, wanted.columns)

    def run(self, request: settings.Request) -> Video | Batch:
        """Clips; a grid of appearances and motions; one appearance at several lengths; a walk."""
        wanted = plan(request, self.config)
        label = [request.label] * len(wanted.clips) if request.label is not None else None
        clips = [Video(frames, Fraction(self.config.fps)) for frames in self.render(wanted.clips, label)]
        if len(clips) == 1 and request.grid is None:
            return clips[0]
        return Batch(clips, labels=[clip.name for clip in wanted.clips], columns=wanted.columns)

    def render(self, clips: Sequence[Code], labels: Sequence[str] | None, batch: int = 16) -> list[Pixels]:
        """One clip uint8 (T, S, S, 3) for every code; each depends on its own code (and class) only."""

        def make(rows: Sequence[int], some: slice) -> Tensor:
            label = () if labels is None else (self.one_hot([labels[i] for i in rows[some]]),)
            return self.generator(*self.stacked([clips[i] for i in rows[some]]), *label)

        out: list[Pixels] = []
        for _, alike in groupby(range(len(clips)), lambda i: clips[i].zm.shape):
            rows = list(alike)  # clips of one length
            out.extend(in_parts(self, partial(make, rows), len(rows), batch))
        return out

    def generate(self, captions: Sequence[str], seeds: Sequence[int], batch: int = 16) -> Pixels:
        """One clip for every seed: uint8 (N, T, S, S, 3).

        Captions are the classes, and are not read by weights without classes.
        """
        c = self.config
        codes = [code(c, seed, seed, c.frames) for seed in seeds]
        return np.stack(self.render(codes, captions if c.conditional else None, batch))

    def combine(self, appearances: Sequence[int], motions: Sequence[int], batch: int = 16) -> Pixels:
        """Clip i has the appearance of one seed and the motion of another: uint8 (N, T, S, S, 3).

        With classes, an appearance has a class of its own.
        """
        c = self.config
        codes = [code(c, a, m, c.frames) for a, m in zip(appearances, motions, strict=True)]
        labels = [c.classes[a % len(c.classes)] for a in appearances] if c.conditional else None
        return np.stack(self.render(codes, labels, batch))

    def preview(self, batch: dict[str, Any]) -> Batch:
        """Four appearances (rows) with the same four motions; a row shows one class of the batch."""
        label, labels = None, None
        if self.config.conditional:
            label, said = self.config.classes[0], batch["caption"]
            labels = [said[row % len(said)] for row in range(4) for _ in range(4)]
        wanted = plan(settings.Request(grid=(4, 4), label=label), self.config)
        clips = [Video(frames, Fraction(self.config.fps)) for frames in self.render(wanted.clips, labels)]
        return Batch(clips, labels=[clip.name for clip in wanted.clips], columns=4)

    def export_module(self) -> tuple[nn.Module, tuple[Tensor, ...], list[str], list[str]]:
        """The generator for ONNX: module, example inputs, names of inputs and outputs."""
        c = self.config
        codes = [code(c, seed, seed, c.frames) for seed in (0, 1)]
        given, names = self.stacked(codes), ["appearance", "motion"]
        if c.conditional:
            classes = self.one_hot([c.classes[0], c.classes[-1]])
            return self.generator.eval(), (*given, classes), [*names, "class"], ["video"]
        return self.generator.eval(), given, names, ["video"]


def look(video: Tensor, chance: Sequence[float]) -> dict[str, Tensor]:
    """What the critics see of clips (B, C, T, S, S).

    A window of 16 frames where chance[0] in [0, 1) says, and a frame for each further number, (K B, C, S, S).
    """
    frames = video.shape[2]
    start = int(chance[0] * (frames - WINDOW + 1))
    pictures = torch.cat([video[:, :, int(u * frames)] for u in chance[1:]])
    return {"video": video[:, :, start : start + WINDOW], "image": pictures}


@contextmanager
def keeping_statistics(module: nn.Module) -> Iterator[None]:
    """Inside, batch norms use the statistics of the batch and leave their running ones as they are."""
    norms = [m for m in module.modules() if isinstance(m, BatchNorm3d)]
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, before, strict=True):
            norm.momentum = momentum


def _check(config: settings.Config) -> None:
    """Refuse what cannot be built or trained, before anything long starts."""
    sizes = (32, 64, 128, 256)
    if config.size not in sizes or config.channels not in (1, 3):
        what = f"size {config.size} with {config.channels} channels"
        raise UsageError(f"size is one of {', '.join(map(str, sizes))} with 1 or 3 channels, not {what}.")
    check_frames(config.frames)
    at_least_one(config, "appearance", "image_frames", "motion", "width", "critic_width", "class_code", "fps")
    not_negative(config, "lr", "critic_lr")
    if config.conditional and not config.classes:
        raise UsageError("a conditional system needs classes: captions in its training data.")
    if config.video_code == "motion" and not config.spatial_stream:
        raise UsageError("video_code=motion needs the spatial stream: nothing else hears the appearance.")
    if config.apart and config.augment:
        raise UsageError(
            "apart=true does not go with augment, which would change both halves of a pair as one."
        )
    if config.apart and config.conditional:
        raise UsageError("classes do not go with codes kept apart: apart=false, or conditional=false.")
    check(config)
    if config.loss == "r3gan" and config.critic_norm != "none":
        norm = config.critic_norm
        raise UsageError(f"loss=r3gan needs critics without spectral norm: critic_norm=none, not {norm}.")
    blocks = config.size.bit_length() - 2
    least = -(-8 // (1 + config.spatial_stream))  # a key has an eighth of the channels
    if width_of(config, blocks) < 1:
        raise UsageError(f"width {config.width} is too small for size {config.size}.")
    if config.attention is None:
        return
    if not 1 <= config.attention <= blocks:
        raise UsageError(f"attention stands after block 1 to {blocks}, or none, not {config.attention}.")
    if width_of(config, config.attention) < least:
        raise UsageError(f"width {config.width} leaves no channel for keys after block {config.attention}.")
