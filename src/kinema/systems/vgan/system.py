"""VGAN: the update of the paper, and its use.

Vondrick, Pirsiavash, Torralba, "Generating Videos with Scene Dynamics", NeurIPS 2016, arXiv:1609.02612. What
differs from the paper is an option of `Config` whose default is the paper's.
"""

from collections.abc import Callable, Iterable, Sequence
from collections.abc import Generator as Steps
from dataclasses import replace
from fractions import Fraction
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from kinema.core.config import at_least_one, not_negative
from kinema.core.errors import UsageError, nearest
from kinema.core.results import Batch, Pixels, Video
from kinema.core.system import Losses, Player, Progress, System, Update, adversaries
from kinema.losses.adaptive import Strengths
from kinema.losses.game import Game, check
from kinema.nn.norm import cumulative_statistics
from kinema.nn.sampling import check_clips, clip_seed, codes, in_parts, one_hot
from kinema.systems.vgan import config as settings
from kinema.systems.vgan.networks import Clip, Critic, Generator


class VGAN(System):
    """Noise becomes a clip: something moves before a background that does not."""

    name = "vgan"
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

    @classmethod
    def adapt(cls, config: settings.Config, data: Any) -> settings.Config:
        """Take the classes from the captions of the data."""
        return replace(config, classes=tuple(data.captions)) if config.conditional else config

    def players(self) -> dict[str, Player]:
        """`critic` and `generator`."""
        return adversaries(self.config, {"critic": self.critic}, self.generator)

    def step(self, batch: dict[str, Any], progress: Progress) -> Steps[Losses, None, None]:
        """The critic, then the generator; or both at once."""
        c, real = self.config, batch["video"]
        game = Game(c, progress, strength=self.strengths.of("critic"))
        label = self.one_hot(batch["caption"]) if c.conditional else None
        judge = partial(self.critic, label=label)
        if c.updates == "alternating":
            with torch.no_grad():
                fake = self.make(progress.randn(c.noise), label).video
            yield {"critic": game.critic_terms(judge, real, fake)}
            clip = self.make(progress.randn(c.noise), label)
            fool = game.generator_term(judge, clip.video, real)
            yield {"generator": {"fool": fool, **self.mask_term(clip)}}
        else:
            clip = self.make(progress.randn(c.noise), label)
            terms, fool = game.both(judge, real, clip.video)
            yield {"critic": terms, "generator": {"fool": fool, **self.mask_term(clip)}}

    def make(self, z: Tensor, label: Tensor | None) -> Clip:
        """Noise (B, Z) and one-hot classes (B, K) -> clips."""
        made = self.generator(z, label) if self.config.conditional else self.generator(z)
        return Clip(made) if isinstance(made, Tensor) else Clip(*made)

    def mask_term(self, clip: Clip) -> dict[str, Tensor]:
        """λ |m|, where there is a mask: it opens only where it must."""
        return {} if clip.mask is None else {"mask": self.config.mask * clip.mask.abs().mean()}

    def one_hot(self, labels: Sequence[str]) -> Tensor:
        """Names of classes -> (B, K)."""
        return one_hot(labels, self.config.classes, self.device)

    def after_update(self, player: str, update: Update) -> None:
        """Critics that are too sure see more changes, and fewer otherwise, if the configuration says so."""
        self.strengths.after_update(player, update)

    # ---- use ----

    def settle(self, batches: Iterable[dict[str, Any]]) -> None:
        """Take the statistics of batch norm for the weights as they are, on noise that is always the same."""
        if not self.config.settled:
            return
        with cumulative_statistics(self.generator):
            for batch in batches:
                self.clips(batch["index"].tolist(), batch["caption"])

    def clips(self, seeds: Sequence[int], captions: Sequence[str]) -> Clip:
        """The clips of B seeds and classes; classes are not read by weights without them."""
        label = self.one_hot(captions) if self.config.conditional else None
        return self.make(codes(torch.randn, seeds, self.config.noise).to(self.device), label)

    def examples(self, captions: Sequence[str], clips: Callable[[], Any]) -> dict[str, dict[str, Any]]:
        """Some clips, and where their foreground is."""
        del clips
        label = {"label": captions[0]} if self.config.conditional else {}
        masks = {"their masks": {"n": 12, "part": "mask", **label}} if self.config.streams == "two" else {}
        return {"clips": {"n": 12, **label}} | masks

    def run(self, request: settings.Request) -> Video | Batch:
        """Clips, or one of the parts that they are composed of."""
        c = self.config
        check_clips(request.n, request.seed)
        if c.streams == "one" and request.part != "video":
            raise UsageError(
                f"these weights have one stream, so there is no {request.part}; part=video works."
            )
        if c.conditional and request.label not in c.classes:
            given = "none was given" if request.label is None else f"not '{request.label}'"
            close = nearest(request.label or "", c.classes)
            raise UsageError(f"label is a class, {given}; {close}.")
        if request.label is not None and not c.conditional:
            raise UsageError("these weights were trained without classes, so label cannot be chosen.")
        seeds = [clip_seed(request.seed, i) for i in range(request.n)]
        made = self.generate([request.label or ""] * request.n, seeds, part=request.part)
        clips = [Video(frames, Fraction(c.fps)) for frames in made]
        labels = [f"{request.part} {i}" for i in range(request.n)]
        return clips[0] if request.n == 1 else Batch(clips, labels=labels)

    def generate(
        self, captions: Sequence[str], seeds: Sequence[int], batch: int = 16, part: str = "video"
    ) -> Pixels:
        """One clip for every seed: uint8 (N, T, S, S, 3); each depends on its own seed (and class) only.

        Captions are the classes, and are not read by weights without classes. `part` is as in `Request`.
        """

        def video(some: slice) -> Tensor:
            return shown(self.clips(seeds[some], captions[some]), part)

        return in_parts(self, video, len(seeds), batch)

    def preview(self, batch: dict[str, Any]) -> Batch:
        """Up to sixteen clips, of the batch's classes if there are any; the same noise every time."""
        said = list(batch["caption"])[:16]
        frames = self.generate(said, [clip_seed(0, i) for i in range(len(said))])
        labels = said if self.config.conditional else []
        return Batch([Video(clip, Fraction(self.config.fps)) for clip in frames], labels=labels)

    def export_module(self) -> tuple[nn.Module, tuple[Tensor, ...], list[str], list[str]]:
        """The generator for ONNX: module, example inputs, names of inputs and outputs."""
        c, given, names = self.config, [codes(torch.randn, [0, 1], self.config.noise)], ["noise"]
        if c.conditional:
            given, names = [*given, self.one_hot([c.classes[0], c.classes[-1]])], ["noise", "class"]
        outputs = ["video", "foreground", "mask", "background"] if c.streams == "two" else ["video"]
        return self.generator.eval(), tuple(x.to(self.device) for x in given), names, outputs


def shown(clip: Clip, part: str) -> Tensor:
    """What `Request.part` names, as video (B, C, T, S, S) in [-1, 1]; a mask is black where it is closed."""
    found: Tensor = getattr(clip, part)
    return (2 * found - 1 if part == "mask" else found).expand(-1, -1, clip.video.shape[2], -1, -1)


def _check(config: settings.Config) -> None:
    """Refuse what cannot be built or trained, before anything long starts."""
    c = config
    if c.size < 16 or c.frames < 16 or c.size % 16 or c.frames % 16:
        raise UsageError(f"size and frames are multiples of 16, not {c.size} and {c.frames}.")
    if c.channels not in (1, 3):
        raise UsageError(f"a clip has 1 or 3 channels, not {c.channels}.")
    at_least_one(c, "noise", "width", "critic_width", "class_code", "fps")
    not_negative(c, "lr", "critic_lr", "mask")
    if c.conditional and not c.classes:
        raise UsageError("a conditional system needs classes: captions in its training data.")
    check(c)
    if c.loss == "r3gan" and c.critic_norm != "none":
        raise UsageError(
            f"loss=r3gan needs a critic without batch norm: critic_norm=none, not {c.critic_norm}."
        )
