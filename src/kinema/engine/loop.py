"""`train`: from a system and a data set to a run folder, resumable at any moment."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Set
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from kinema.core import results
from kinema.core.config import RunSettings, at_least_one, to_dict
from kinema.core.errors import MediaError, Stopped, UsageError, check_seed
from kinema.core.files import alone
from kinema.core.system import System
from kinema.engine import state
from kinema.engine.devices import bounded_memory, channels_last, choose_device, choose_precision
from kinema.engine.distributed import World, join
from kinema.engine.ema import Ema
from kinema.engine.health import Health, spectra
from kinema.engine.loader import Batch, Data, Loader, Order, to_device
from kinema.engine.log import Log, environment
from kinema.engine.retreat import BAD_STEPS, Retreat
from kinema.engine.step import Stepper
from kinema.nn.norm import advance_spectral

PREVIEW_ITEMS = 16
SETTLING = 16
"""batches that a system is shown before it is used"""


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
    averages: tuple[Path, Set[str]] | None = None,
) -> Outcome:
    """Train `system` on `data` until `settings.steps`; goes on by itself where `folder` holds a state.

    Args:
        system: what is trained; left on the device it was trained on, with its raw weights.
        data: `len` and `batch(indices)`, a dict of tensors and lists with one entry per item.
        settings: how the run is carried out.
        folder: the run folder; all processes must see it.
        on_save: called with the folder after each saved state, for reports.
        write_config: what config.json holds: system, version, config, data and more; the settings are added.
        averages: a state file, and the names of parameters: what its optimisers remember of these is taken by
            a run that begins.

    Returns:
        Where the run stands. A signal raises `Stopped` instead, after saving.

    Example:
        >>> train(system, open_clips("sbmg"), RunSettings(steps=100), "runs/a")  # doctest: +SKIP
    """
    with ExitStack() as stack:
        world = join(settings.device)
        stack.callback(world.leave)
        check(system, settings, data, world)
        stack.enter_context(bounded_memory(choose_device(settings.device, world)))
        signals = stack.enter_context(caught_signals())
        run = Run(system, data, settings, Path(folder), world, write_config or {}, averages, stack)
        stack.callback(run.close)
        return run.go(signals, on_save)


class Run:
    """One call of `train`."""

    def __init__(
        self,
        system: System,
        data: Data,
        settings: RunSettings,
        folder: Path,
        world: World,
        about: dict[str, Any],
        averages: tuple[Path, Set[str]] | None,
        held: ExitStack,
    ) -> None:
        self.system, self.data, self.settings, self.folder, self.world = system, data, settings, folder, world
        self.device = choose_device(settings.device, world)
        self.context = choose_precision(settings.precision, self.device)
        self.identity, self.version = identify(system, data, settings, about), about.get("version")
        system.to(self.device).train()
        channels_last(system)
        players = system.players()
        self.stepper = Stepper(system, players, settings, self.device, world)
        world.broadcast([*system.parameters(), *system.buffers()])
        try:
            optimisers = self.stepper.optimisers()
        except ValueError as error:  # Adam's words: "Invalid learning rate: nan"
            raise UsageError(f"{system.name} cannot be optimised with these settings: {error}.") from None
        self.training = state.Training(system, Ema(system, players), optimisers, state.Counters())
        if world.leads:  # only now, so that settings that cannot be used leave no folder behind
            kind = getattr(system, "Config", None)
            state.claim(folder, self.identity, to_dict(kind()) if kind else {})
            taken = f"Another training is at work in {folder}; wait until it ends, or choose another folder."
            held.enter_context(alone(folder / state.LOCK, taken))
            about = {**about, "settings": to_dict(settings)}
            state.prepare(folder, about, environment(self.device, world.size))
        world.barrier()
        self.log = Log(folder, settings.steps, silent=not world.leads)
        self._begin(averages)
        order = Order(len(data), settings.batch, settings.seed)
        self.loader = Loader(data, order, self.stepper.rows, self.training.counters.step, settings.steps)
        self.health = Health(players)
        self.retreat = Retreat(self.training, self.health, self.loader, self.log, folder)
        self.retreat.recall()
        self.shown: Batch | None = None

    def _begin(self, averages: tuple[Path, Set[str]] | None) -> None:
        """Restore the state in the folder, or write the first one."""
        found = state.resume(self.training, self.folder, self.log.say)
        self.world.barrier()
        step = self.training.counters.step
        if found:
            self.log.say(f"{self.folder}: going on after step {step}")
        else:
            advance_spectral(self.system, iterations=15)
            if averages is not None:
                self.training.take_averages(*averages)
            if self.world.leads:
                state.save(self.training, self.folder, self.identity)
        self.world.barrier()
        self.log.rewind(step)

    def go(self, signals: list[int], on_save: Callable[[Path], None] | None) -> Outcome:
        """Steps until all are done, the time is up or a signal comes."""
        settings, saved, deadline = (
            self.settings,
            True,
            time.monotonic() + 60 * (self.settings.minutes or float("inf")),
        )
        while self.training.counters.step < settings.steps:
            good = self.one_step()
            counters = self.training.counters
            if counters.bad >= BAD_STEPS:
                self.retreat.from_bad_steps()
                continue
            self.report()
            told, late, gone = self.votes(bool(signals), time.monotonic() >= deadline, self.health.collapsed)
            if gone:
                self.undo_collapse(on_save)
                continue
            last = counters.step == settings.steps
            saved = told or late or last or (good and counters.step % settings.save_every_steps == 0)
            if saved:
                self.save(on_save)
            if told:
                raise Stopped(f"Stopped by a signal after step {counters.step}; the same command goes on.")
            if late and not last:
                return self.outcome(stopped=True)
        return self.outcome(stopped=False)

    def one_step(self) -> bool:
        """The next step; whether all its numbers were finite."""
        started, counters = time.monotonic(), self.training.counters
        batch = to_device(next(self.loader), self.device)
        terms, broken = self.stepper(batch, self.training, self.context)
        counters.seconds += time.monotonic() - started
        self.log.add(terms)
        if broken:
            self.log.note(
                counters.step, f"step {counters.step}: {', '.join(broken)} not finite; update skipped"
            )
        return not broken

    def votes(self, *mine: bool) -> list[bool]:
        """Whether any process says yes, to each: was told to stop, is late, saw a collapse.

        All must do the same after the same step.
        """
        sums = self.world.sum(torch.tensor(mine, dtype=torch.float32, device=self.device))
        return [bool(said > 0) for said in sums]

    def undo_collapse(self, on_save: Callable[[Path], None] | None) -> None:
        """Go back, and see to it that the newest file is not one that has collapsed."""
        end = self.retreat.from_collapse()
        if end is not None:
            self.save(on_save)
            raise end
        if self.world.leads:
            state.save(self.training, self.folder, self.identity)
        self.world.barrier()

    def report(self) -> None:
        """Lines, previews and warnings, each in its own rhythm."""
        counters, settings = self.training.counters, self.settings
        last = counters.step == settings.steps
        if last or counters.step % settings.log_every_steps == 0:
            means = self.log.line(counters.step, settings.batch, counters.seconds)
            seen = [*self.health.losses(means), *self.health.worries(self.system.worries(means))]
            for warning in [*seen, *(self.health.end() if last else [])]:
                self.log.note(counters.step, warning)
        if last or counters.step % settings.preview_every_steps == 0:
            if self.world.leads:
                for warning in self.health.weights(self.stepper.parameters):
                    self.log.note(counters.step, warning)
                if found := spectra(self.system):
                    self.log.append({"step": counters.step, **found})
            if type(self.system).preview is not System.preview and results.writer is not None:
                with self.in_use():
                    self.preview()

    def preview(self) -> None:
        """Show what the system makes of the same few items and the same noise each time."""
        if not self.world.leads:
            return
        step, seed = self.training.counters.step, self.settings.seed
        if self.shown is None:
            items = min(PREVIEW_ITEMS, len(self.data))
            self.shown = self.data.batch(Order(len(self.data), items, seed).indices(0, slice(0, items)))
        torch.manual_seed(seed)
        result = self.system.preview(to_device(self.shown, self.device))
        made = {"system": self.system.name, "step": step, "seed": seed, "version": self.version}
        result.provenance = {"synthetic": True, **made}
        suffix = ".png" if isinstance(result, results.Image) else ".gif"
        try:
            result.save(self.folder / "previews" / f"{step:07d}{suffix}")
        except (ImportError, MediaError) as error:  # no decoders, or more frames a second than a GIF shows
            self.log.say(f"no preview: {error}")
        for warning in self.health.preview(result, self.shown):
            self.log.note(step, warning)
        self.retreat.remember()

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Inside, the system is as it will be used: averaged weights, and buffers settled on them."""
        kept = [buffer.clone() for buffer in self.system.buffers()]
        self.system.eval()
        with self.training.ema.applied(), torch.no_grad(), self.context():
            self.system.settle(self.first_batches())
            yield
        self.system.train()
        for buffer, before in zip(self.system.buffers(), kept, strict=True):
            buffer.copy_(before)

    def first_batches(self) -> Iterator[Batch]:
        """Some items for training in pieces that fit into memory, the same each time."""
        start = self.stepper.rows.start
        rows = slice(start, start + self.stepper.micro_batch)
        order = Order(len(self.data), self.settings.batch, self.settings.seed)
        for step in range(SETTLING):
            yield to_device(self.data.batch(order.indices(step, rows)), self.device)

    def save(self, on_save: Callable[[Path], None] | None) -> None:
        """Write weights and state, then let the caller make its report."""
        buffers = {name for name, _ in self.system.named_buffers()}
        with self.in_use():
            found = self.system.state_dict()
            weights = {name: value.clone() if name in buffers else value for name, value in found.items()}
        if self.world.leads:
            state.save(self.training, self.folder, self.identity, weights)
            if on_save is not None:
                on_save(self.folder)
        self.world.barrier()

    def outcome(self, stopped: bool) -> Outcome:
        """Where the run stands."""
        counters = self.training.counters
        return Outcome(counters.step, counters.step * self.settings.batch, counters.seconds, stopped)

    def close(self) -> None:
        """End the loader's thread and the live table."""
        self.loader.close()
        self.log.close()


def check(system: System, settings: RunSettings, data: Data, world: World) -> None:
    """Refuse what cannot work, before anything long begins."""
    at_least_one(settings, "steps", "batch", "micro_batch")
    at_least_one(settings, "save_every_steps", "preview_every_steps", "log_every_steps")
    check_seed(settings.seed)
    if settings.minutes is not None and not settings.minutes > 0:
        raise UsageError(f"minutes is more than 0, not {settings.minutes:g}.")
    if settings.batch % world.size:
        raise UsageError(f"batch={settings.batch} cannot be shared evenly by {world.size} processes.")
    if len(data) == 0:
        raise UsageError("the data set is empty.")
    if not system.players():
        raise UsageError(f"{system.name} is not trained: it has no players.")


def identify(system: System, data: Data, settings: RunSettings, about: dict[str, Any]) -> dict[str, Any]:
    """What must be the same for a run to go on."""
    return {
        "system": system.name,
        "config": about.get("config"),
        "data": getattr(data, "hash", about.get("data")),
        "batch": settings.batch,
        "seed": settings.seed,
        "init_from": settings.init_from,
    }


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
