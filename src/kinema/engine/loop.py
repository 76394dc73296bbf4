"""`train`: from a system and a data set to a run folder, resumable at any moment."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from kinema.core import results
from kinema.core.config import RunSettings, to_dict
from kinema.core.errors import Diverged, Stopped, UsageError
from kinema.core.system import Player, Progress, System
from kinema.engine import state
from kinema.engine.devices import channels_last, choose_device, choose_precision, out_of_memory, ran_out_of_memory
from kinema.engine.distributed import World, join
from kinema.engine.ema import Ema
from kinema.engine.gradients import Micro, apply, lock_step
from kinema.engine.health import Health
from kinema.engine.loader import Data, Loader, Order, part, seed_for, to_device
from kinema.engine.log import Log, environment
from kinema.nn.norm import advance_spectral

PATIENCE = 3
"""steps in a row with NaN or Inf before the run goes back"""
PREVIEW_ITEMS = 16


@dataclass(frozen=True)
class Outcome:
    """How a call of `train` ended."""

    steps: int
    """done in all, over all calls"""
    images: int
    seconds: float
    """of training in all, over all calls"""
    stopped: bool
    """whether the time was up before the steps were done"""


def train(
    system: System,
    data: Data,
    settings: RunSettings,
    folder: str | Path,
    *,
    on_save: Callable[[Path], None] | None = None,
    write_config: dict[str, Any] | None = None,
) -> Outcome:
    """Train `system` on `data` until `settings.steps`; goes on by itself where `folder` holds a state.

    Args:
        system: what is trained; it is left on the device it was trained on, with its raw weights.
        data: `len` and `batch(indices)` giving a dict of tensors and lists.
        settings: how the run is carried out.
        folder: the run folder; all processes must see it.
        on_save: called with the folder after each saved state, for reports.
        write_config: what config.json holds, {"system", "version", "config", "data", ...}; the settings are added.

    Returns:
        Where the run stands. A signal raises `Stopped` instead, after saving.

    Example:
        >>> train(system, open_clips("sbmg"), RunSettings(steps=100), "runs/a")  # doctest: +SKIP
    """
    with ExitStack() as stack:
        world = join(settings.device)
        stack.callback(world.leave)
        run = Run(system, data, settings, Path(folder), world, write_config or {}, on_save)
        stack.callback(run.close)
        signals = stack.enter_context(caught_signals())
        return run.go(signals)


class Run:
    """One call of `train`."""

    def __init__(
        self,
        system: System,
        data: Data,
        settings: RunSettings,
        folder: Path,
        world: World,
        write_config: dict[str, Any],
        on_save: Callable[[Path], None] | None,
    ) -> None:
        check(settings, data, world)
        self.system, self.data, self.settings, self.folder, self.world = system, data, settings, folder, world
        self.on_save = on_save
        self.device = choose_device(settings.device, world)
        self.context = choose_precision(settings.precision, self.device)
        self.players = system.players()
        if not self.players:
            raise UsageError(f"{system.name} is not trained: it has no players.")
        self.identity = identify(system, data, settings, write_config)
        if world.leads:
            state.claim(folder, self.identity)
            prepare(folder, {**write_config, "settings": to_dict(settings)}, environment(self.device, world.size))
        world.barrier()
        self.log = Log(folder, settings.steps, silent=not world.leads, tensorboard=settings.tensorboard)
        self.training = self._build()
        self.order = Order(len(data), settings.batch, settings.seed)
        share = settings.batch // world.size
        self.rows = slice(world.rank * share, (world.rank + 1) * share)
        step = self.training.counters.step
        self.loader = Loader(data, self.order, self.rows, step, settings.steps)
        self.health = Health(self.players)
        self.shown: Any = None

    def _build(self) -> state.Training:
        """Networks on the device, optimisers, average; restored from the folder or written to it."""
        self.system.to(self.device).train()
        channels_last(self.system)
        self.parameters = {name: player.parameters() for name, player in self.players.items()}
        optimisers = {name: optimiser(p, self.parameters[name]) for name, p in self.players.items()}
        self.world.broadcast([*self.system.parameters(), *self.system.buffers()])
        training = state.Training(self.system, Ema(self.system, self.players), optimisers, state.Counters())
        if state.resume(training, self.folder, self.log.say):
            self.log.say(f"going on after step {training.counters.step} of {self.folder}")
        else:
            advance_spectral(self.system, iterations=15)
            if self.world.leads:
                state.save(training, self.folder, self.identity)
        self.world.barrier()
        self.log.rewind(training.counters.step)
        return training

    @property
    def counters(self) -> state.Counters:
        """Where the run stands; replaced when a state is restored."""
        return self.training.counters

    def go(self, signals: list[int]) -> Outcome:
        """Steps until all are done, the time is up or a signal comes."""
        began, limit = time.monotonic(), self.settings.minutes
        fresh = False
        while self.counters.step < self.settings.steps:
            started = time.monotonic()
            good = self.one_step()
            self.counters.seconds += time.monotonic() - started
            if self.counters.bad >= PATIENCE:
                self.roll_back()
                continue
            late = limit is not None and time.monotonic() - began >= limit * 60
            told, late = self.votes(bool(signals), late)
            self.report()
            fresh = told or late or (good and self.counters.step % self.settings.save_every_steps == 0)
            if fresh:
                self.save()
            if told:
                raise Stopped(f"Stopped by a signal after step {self.counters.step}; the same command goes on.")
            if late and self.counters.step < self.settings.steps:
                return self.outcome(stopped=True)
        if not fresh:
            self.save()
        return self.outcome(stopped=False)

    def votes(self, told: bool, late: bool) -> tuple[bool, bool]:
        """Whether any process was told to stop or is late: all must agree on the step after which they end."""
        if self.world.size == 1:
            return told, late
        told_sum, late_sum = self.world.sum(torch.tensor([float(told), float(late)], device=self.device)).tolist()
        return told_sum > 0, late_sum > 0

    def one_step(self) -> bool:
        """One step of the system with all its updates; whether all numbers were finite."""
        step = self.counters.step
        batch = to_device(next(self.loader), self.device)
        advance_spectral(self.system)
        for name, player in self.players.items():
            for group in self.training.optimisers[name].param_groups:
                group["lr"] = learning_rate(player, step, self.settings.steps) * self.counters.lr_scale
        buffers = [b.clone() for b in self.system.buffers()]
        torch.manual_seed(seed_for(self.settings.seed, step, 1 + self.world.rank))
        failed: BaseException | None = None
        try:
            good = self.updates(self.micros(batch, self.micro_batch))
        except (RuntimeError, MemoryError) as error:
            if not ran_out_of_memory(error):
                raise
            failed = error.with_traceback(None)  # its frames hold the tensors of the step
        if failed is not None:
            fits = (lambda m: self.fits(batch, m)) if self.world.size == 1 else None
            raise out_of_memory(self.settings, self.micro_batch, fits) from None
        self.counters.step += 1
        if good:
            self.counters.bad = 0
            self.training.ema.update(self.counters.step * self.settings.batch, self.settings.batch)
        else:
            self.counters.bad += 1
            self.counters.skipped += 1
            for buffer, before in zip(self.system.buffers(), buffers, strict=True):
                buffer.copy_(before)
        return good

    @property
    def micro_batch(self) -> int:
        """Items computed at a time on this process."""
        share = self.rows.stop - self.rows.start
        return int(min(share, self.settings.micro_batch or share))

    def micros(self, batch: dict[str, Any], size: int) -> Iterator[Micro]:
        """The step of every micro-batch; each draws the noise of the whole batch and takes its own rows."""
        first, items = self.rows.start, self.rows.stop - self.rows.start
        for start in range(0, items, size):
            stop = min(start + size, items)
            generator = torch.Generator().manual_seed(seed_for(self.settings.seed, self.counters.step))
            rows = slice(first + start, first + stop)
            progress = Progress(
                self.counters.step, self.settings.steps, self.settings.batch, rows, generator, self.device
            )
            own = part(batch, items, slice(start, stop))
            yield Micro((stop - start) / self.settings.batch, self.system.step(own, progress))

    def updates(self, micros: Iterator[Micro]) -> bool:
        """Carry out every update of a step except those with NaN or Inf."""
        good = True
        for update in lock_step(list(micros), self.parameters, self.context, self.world):
            if not update.finite:
                names = ", ".join(k for k, v in update.terms.items() if v - v != 0) or "a gradient"
                self.log.note(self.counters.step + 1, f"step {self.counters.step + 1}: {names} is not finite; update skipped")
                good = False
                continue
            for name in update.gradients:
                apply(self.training.optimisers[name], self.players[name], self.parameters[name], update, name)
            self.log.add({**update.terms, **{f"{k}/gradient_norm": v for k, v in update.norms.items()}})
        return good

    def fits(self, batch: dict[str, Any], size: int) -> bool:
        """Whether the gradients of a step can be had with `size` items at a time; nothing is updated."""
        try:
            first = [next(self.micros(batch, size))]
            for _ in lock_step(first, self.parameters, self.context, self.world):
                pass
        except (RuntimeError, MemoryError) as error:
            if not ran_out_of_memory(error):
                raise
            return False
        return True

    def roll_back(self) -> None:
        """Return to the last good state with half the learning rate; the second time, give up."""
        if self.counters.rollbacks:
            raise Diverged(
                f"Training met NaN or Inf again at step {self.counters.step}, after going back once. The last good state is "
                f"in {self.folder}. Try a lower learning rate, clip_norm, precision=fp32, or look for broken data."
            )
        scale = self.counters.lr_scale / 2
        state.resume(self.training, self.folder, self.log.say, settled=True)
        self.counters.lr_scale, self.counters.rollbacks = scale, self.counters.rollbacks + 1
        self.loader.seek(self.counters.step)
        self.log.rewind(self.counters.step)
        self.log.note(
            self.counters.step,
            f"{PATIENCE} steps in a row were not finite: back to step {self.counters.step} with learning rates times {scale:g}",
        )

    def report(self) -> None:
        """Lines, previews and warnings, each in its own rhythm."""
        step = self.counters.step
        if step % self.settings.log_every_steps == 0 or step == self.settings.steps:
            means = self.log.line(step, self.settings.batch, self.counters.seconds)
            for warning in self.health.losses(means):
                self.log.note(step, warning)
        if self.world.leads and (step % self.settings.preview_every_steps == 0 or step == self.settings.steps):
            self.preview()

    def preview(self) -> None:
        """Show what the averaged weights make of the same few items and the same noise each time."""
        if type(self.system).preview is System.preview or results.writer is None:
            return
        if self.shown is None:
            items = min(PREVIEW_ITEMS, len(self.data))
            self.shown = self.data.batch(Order(len(self.data), items, self.settings.seed).indices(0, slice(0, items)))
        batch = to_device(self.shown, self.device)
        with torch.random.fork_rng(), self.training.ema.applied(), torch.no_grad(), self.context():
            torch.manual_seed(self.settings.seed)
            self.system.eval()
            try:
                result = self.system.preview(batch)
            finally:
                self.system.train()
        suffix = ".png" if isinstance(result, results.Image) else ".gif"
        result.save(self.folder / "previews" / f"{self.counters.step:07d}{suffix}")
        for warning in self.health.preview(result, self.shown) + self.health.weights(self.parameters):
            self.log.note(self.counters.step, warning)

    def save(self) -> None:
        """Write the state, then let the caller make its report."""
        if self.world.leads:
            state.save(self.training, self.folder, self.identity)
            if self.on_save is not None:
                self.on_save(self.folder)
        self.world.barrier()

    def outcome(self, stopped: bool) -> Outcome:
        """Where the run stands."""
        step = self.counters.step
        return Outcome(step, step * self.settings.batch, self.counters.seconds, stopped)

    def close(self) -> None:
        """End the loader's thread and the live table."""
        self.loader.close()
        self.log.close()


def check(settings: RunSettings, data: Data, world: World) -> None:
    """Refuse settings that cannot work, before anything long begins."""
    for name in ("steps", "batch", "save_every_steps", "preview_every_steps", "log_every_steps"):
        if getattr(settings, name) < 1:
            raise UsageError(f"{name} is at least 1, not {getattr(settings, name)}.")
    if settings.micro_batch is not None and settings.micro_batch < 1:
        raise UsageError(f"micro_batch is at least 1, not {settings.micro_batch}.")
    if settings.batch % world.size:
        raise UsageError(f"batch={settings.batch} cannot be shared evenly by {world.size} processes.")
    if len(data) == 0:
        raise UsageError("the data set is empty.")


def identify(system: System, data: Data, settings: RunSettings, write_config: dict[str, Any]) -> dict[str, Any]:
    """What must be the same for a run to go on."""
    config = getattr(system, "config", None)
    return {
        "system": system.name,
        "config": write_config.get("config", to_dict(config) if config is not None else None),
        "data": getattr(data, "hash", write_config.get("data")),
        "batch": settings.batch,
        "seed": settings.seed,
    }


def prepare(folder: Path, config: dict[str, Any], machine: dict[str, Any]) -> None:
    """Make the folder and write what is known before the first step."""
    with state.disk_errors(folder):
        (folder / "previews").mkdir(parents=True, exist_ok=True)
        for left_over in folder.glob("*.tmp"):
            left_over.unlink()
    state.write_text(folder / "config.json", json.dumps(config, indent=2) + "\n")
    state.write_text(folder / "environment.json", json.dumps(machine, indent=2) + "\n")


def optimiser(player: Player, parameters: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
    """Adam as one fused kernel: on a CPU seven times faster than tensor by tensor, with the same result."""
    return torch.optim.Adam(parameters, player.lr, player.betas, weight_decay=player.weight_decay, fused=True)


def learning_rate(player: Player, step: int, steps: int) -> float:
    """Constant, then linear to zero from `decay_from` of the run on."""
    if player.decay_from is None or player.decay_from >= 1:
        return player.lr
    return player.lr * min(1.0, (1 - step / steps) / (1 - player.decay_from))


@contextmanager
def caught_signals() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM instead of dying; a second one ends at once."""
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return

    def receive(number: int, frame: object) -> None:
        del frame
        if received:
            os._exit(128 + number)
        received.append(number)

    before = {number: signal.signal(number, receive) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
