"""MoCoGAN: the update of the paper, and its use.

Tulyakov, Liu, Yang, Kautz, "MoCoGAN: Decomposing Motion and Content for Video Generation", CVPR 2018,
arXiv:1707.04993. Where we differ: the image critic sees one frame of each of B clips, where the authors pick
B among all frames of 2B generated clips, so that some share a clip. What else differs is an option, and the
paper's way its default.
"""

from collections.abc import Callable, Iterable, Sequence
from collections.abc import Generator as Steps
from dataclasses import replace
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kinema.core.config import at_least_one, not_negative
from kinema.core.errors import UsageError
from kinema.core.results import Batch, Pixels, Video
from kinema.core.system import Extent, Losses, Player, Progress, System, Update
from kinema.losses.adaptive import Strengths
from kinema.losses.game import Game, Judge, check
from kinema.nn.norm import cumulative_statistics
from kinema.nn.sampling import in_parts, one_hot
from kinema.systems.mocogan import config as settings
from kinema.systems.mocogan.networks import Generator, ImageCritic, VideoCritic, categories, widths
from kinema.systems.mocogan.sampling import Code, code, plan


class MoCoGAN(System):
    """Noise for content, a category, and a recurrent net for motion become a clip of any length."""

    name = "mocogan"
    Config = settings.Config
    Request = settings.Request
    metrics = ("moving_shapes", "fd_random", "acd", "nearest_training")
    serving = ("generator",)

    def __init__(self, config: settings.Config) -> None:
        super().__init__()
        _check(config)
        self.config = config
        self.generator = Generator(config)
        self.critics = nn.ModuleDict({"image": ImageCritic(config), "video": VideoCritic(config)})
        self.strengths = Strengths(config, (f"{name}_critic" for name in self.critics))

    @classmethod
    def adapt(cls, config: settings.Config, data: Any) -> settings.Config:
        """Take the categories from the captions of the data; imported critics may not hear them."""
        if config.conditional and (kind := config.video_critic) != "categorical":
            raise UsageError(f"conditional=true needs video_critic=categorical: {kind} hears no categories.")
        return replace(config, classes=tuple(data.captions)) if config.conditional else config

    def players(self) -> dict[str, Player]:
        """`image_critic`, `video_critic` and `generator`, each with its own optimiser."""
        c = self.config
        same: dict[str, Any] = {
            "lr": c.lr,
            "betas": c.betas,
            "weight_decay": c.weight_decay,
            "decay_from": c.decay_from,
        }
        critics = {f"{name}_critic": Player([critic], **same) for name, critic in self.critics.items()}
        generator = Player([self.generator], ema_halflife_images=c.ema_halflife_images, **same)
        return {**critics, "generator": generator}

    def step(self, batch: dict[str, Any], progress: Progress) -> Steps[Losses, None, None]:
        """Image critic, video critic, then the generator on new samples for both."""
        video = batch["video"]
        label = self.one_hot(batch["caption"]) if self.config.conditional else None
        rows = torch.arange(len(video), device=video.device)
        frame = (progress.rand() * video.shape[2]).long()
        real = {"image": video[rows, :, frame], "video": video}
        for name in self.critics:
            with torch.no_grad():
                fake, _ = self.sample(name, progress)
            yield {f"{name}_critic": self.critic_terms(name, real[name], fake, label, progress)}
        terms: dict[str, Tensor] = {}
        for name in self.critics:
            fake, drawn = self.sample(name, progress)
            terms |= self.generator_terms(name, fake, real[name], drawn, progress)
        yield {"generator": terms}

    def sample(self, kind: str, progress: Progress) -> tuple[Tensor, Tensor | None]:
        """New clips, or one frame of each of new clips, and the categories drawn for them."""
        c = self.config
        content, start = progress.randn(c.content), progress.randn(c.motion)
        noise = progress.randn(c.frames, c.motion)
        drawn = self.categories(progress.rand()) if c.conditional else None
        if kind == "video":
            return self.generator(content, start, noise, drawn), drawn
        codes = self.generator.codes(content, start, noise, drawn)  # (B, T, Z + K + M)
        rows = torch.arange(len(codes), device=codes.device)
        return self.generator.pictures(codes[rows, (progress.rand() * c.frames).long()]), drawn

    def after_update(self, player: str, update: Update) -> None:
        """Critics that are too sure see more changes, and fewer otherwise, if the configuration says so."""
        self.strengths.after_update(player, update)

    # ---- the objective ----

    def critic_terms(
        self, name: str, real: Tensor, fake: Tensor, label: Tensor | None, progress: Progress
    ) -> dict[str, Tensor]:
        """-log D(x) - log(1 - D(x~)), and the categories of real clips; or R3GAN's pairs and penalties."""
        classes: list[Tensor] = []
        judge, game = (
            self.judge(name, progress, classes),
            Game(self.config, progress, strength=self.strengths.of(f"{name}_critic")),
        )
        return game.critic_terms(judge, real, fake) | self.category_term(classes[0], label)

    def generator_terms(
        self, name: str, fake: Tensor, real: Tensor, drawn: Tensor | None, progress: Progress
    ) -> dict[str, Tensor]:
        """-log D(x~), or R3GAN's pairs; and, as in InfoGAN, the categories drawn for generated clips."""
        classes: list[Tensor] = []
        judge, game = (
            self.judge(name, progress, classes),
            Game(self.config, progress, strength=self.strengths.of(f"{name}_critic")),
        )
        terms = {name: game.generator_term(judge, fake, real)}
        return terms | (self.category_term(classes[0], drawn) if self.config.infogan else {})

    def category_term(self, logits: Tensor, category: Tensor | None) -> dict[str, Tensor]:
        """Cross-entropy of class logits (B, K) and one-hot categories, where there are both."""
        if category is None or not logits.shape[1]:
            return {}
        return {"category": F.cross_entropy(logits, category)}

    def judge(self, name: str, progress: Progress, classes: list[Tensor]) -> Judge:
        """A critic with one draw of noise: it answers logits of being real, and adds those of categories.

        `classes` receives (B, K) with every look; the first is at real items in the critic's terms, at
        generated ones in the generator's.
        """
        seeds = (progress.rand() * 2**24).long().tolist() if self.config.input_noise else []
        noise = [torch.Generator(self.device).manual_seed(seed) for seed in seeds]

        def judge(items: Tensor) -> Tensor:
            logits, of_classes = self.critics[name](items, noise)
            classes.append(of_classes)
            return logits

        return judge

    def one_hot(self, labels: Sequence[str]) -> Tensor:
        """Names of categories -> (B, K)."""
        return one_hot(labels, self.config.classes, self.device, "category")

    def categories(self, chance: Tensor) -> Tensor:
        """Uniform numbers (B,) in [0, 1) -> one-hot categories (B, K), all equally likely."""
        k = categories(self.config)
        return F.one_hot((chance * k).long(), k).float()

    # ---- use ----

    def settle(self, batches: Iterable[dict[str, Any]]) -> None:
        """Take the statistics of batch norm for the weights as they are, on noise that is always the same."""
        c = self.config
        if not c.settled:
            return
        with cumulative_statistics(self.generator):
            for batch in batches:
                codes = [code(c, seed, seed, c.frames) for seed in batch["index"].tolist()]
                self.generator(*self.stacked(codes, None))

    def stacked(self, codes: Sequence[Code], labels: Sequence[str] | None) -> tuple[Tensor, ...]:
        """B codes of one length -> what the generator takes; without labels categories are the codes'."""
        parts = [torch.stack(part).to(self.device) for part in list(zip(*codes, strict=True))[:3]]
        if self.config.conditional:
            drawn = torch.tensor([c.category for c in codes], device=self.device)
            parts.append(self.categories(drawn) if labels is None else self.one_hot(labels))
        return tuple(parts)

    def examples(self, captions: Sequence[str], clips: Callable[[], Any]) -> dict[str, dict[str, Any]]:
        """A grid of contents and motions, and longer clips than those of training."""
        del captions, clips
        longer = {"n": 4, "frames": 3 * self.config.frames}
        return {"rows share a content, columns a motion": {"grid": (4, 6)}, "longer clips": longer}

    def extent(self, request: settings.Request) -> Extent:
        """As the plan of the request says."""
        wanted, size = plan(request, self.config), self.config.size
        frames = max(clip.frames for clip in wanted.clips)
        return Extent(len(wanted.clips), frames, size, size, wanted.columns)

    def run(self, request: settings.Request) -> Video | Batch:
        """Clips, or a grid of contents and motions."""
        wanted = plan(request, self.config)
        labels = None if request.label is None else [request.label] * len(wanted.clips)
        clips = [Video(frames, Fraction(self.config.fps)) for frames in self.render(wanted.clips, labels)]
        if len(clips) == 1 and request.grid is None:
            return clips[0]
        return Batch(clips, labels=[clip.name for clip in wanted.clips], columns=wanted.columns)

    def render(self, clips: Sequence[Code], labels: Sequence[str] | None, batch: int = 16) -> Pixels:
        """Codes of one length -> clips uint8 (N, T, S, S, 3); each depends on its code and category only."""

        def make(some: slice) -> Tensor:
            return self.generator(*self.stacked(clips[some], labels and labels[some]))

        return in_parts(self, make, len(clips), batch)

    def generate(self, captions: Sequence[str], seeds: Sequence[int], batch: int = 16) -> Pixels:
        """One clip for every seed: uint8 (N, T, S, S, 3).

        Captions are the categories, and are not read by weights without categories.
        """
        c = self.config
        codes = [code(c, seed, seed, c.frames) for seed in seeds]
        return self.render(codes, captions if c.conditional else None, batch)

    def combine(self, appearances: Sequence[int], motions: Sequence[int], batch: int = 16) -> Pixels:
        """Clip i has the content of one seed and the motion of another: uint8 (N, T, S, S, 3)."""
        c = self.config
        codes = [code(c, a, m, c.frames) for a, m in zip(appearances, motions, strict=True)]
        return self.render(codes, None, batch)

    def preview(self, batch: dict[str, Any]) -> Batch:
        """Four contents (rows) with the same four motions."""
        del batch
        made = self.run(settings.Request(grid=(4, 4)))
        assert isinstance(made, Batch)
        return made

    def export_module(self) -> tuple[nn.Module, tuple[Tensor, ...], list[str], list[str]]:
        """The generator for ONNX: module, example inputs, names of inputs and outputs."""
        codes = [code(self.config, seed, seed, self.config.frames) for seed in (0, 1)]
        names = ["content", "start", "noise", "category"]
        given = self.stacked(codes, None)
        return self.generator.eval(), given, names[: len(given)], ["video"]


def _check(config: settings.Config) -> None:
    """Refuse what cannot be built or trained, before anything long starts."""
    sizes = (32, 64, 128)
    if config.size not in sizes or config.channels not in (1, 3):
        what = f"size {config.size} with {config.channels} channels"
        raise UsageError(f"size is one of {', '.join(map(str, sizes))} with 1 or 3 channels, not {what}.")
    least = 3 * len(widths(config.size, 1)) + (1 if config.video_critic == "patch" else 4)
    if config.frames < least:
        critic = f"video_critic={config.video_critic} at size {config.size}"
        raise UsageError(f"frames is at least {least} with {critic}, not {config.frames}.")
    at_least_one(config, "content", "motion", "width", "critic_width", "fps")
    not_negative(config, "lr", "weight_decay", "input_noise")
    if config.conditional and not config.classes:
        raise UsageError("categories are the captions of the data, and there are none: conditional=false.")
    check(config)
    if config.loss == "r3gan" and config.norm != "none":
        raise UsageError(f"loss=r3gan needs networks without batch norm: norm=none, not {config.norm}.")
