"""The training loop: epochs of batches, averaged weights, a full-ranking check each, early stopping on the best."""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from recommender.config.optimisation import Optimised
from recommender.errors import TrainingError
from recommender.progress import Progress, quiet
from recommender.training.checkpoint import Checkpoint, Checkpoints
from recommender.training.curves import Curves
from recommender.training.distributed import Peers
from recommender.training.optimisers import learning_rate
from recommender.training.precision import Precision
from recommender.training.pulse import Pulse
from recommender.training.report import FitReport
from recommender.training.state import State, Tally
from recommender.training.stepping import Stepper, Taken

Losses = Callable[[int], Iterable[tuple[Tensor, int]]]
CPU = torch.device("cpu")


class Trainer:
    """One fit of a module; `run` trains it in place and leaves it in evaluation mode with averaged weights.

    Parameters
    ----------
    module
        Its parameters are optimised with AdamW, tables with sparse gradients with SparseAdam.
    losses
        Given the epoch's number, yields for each batch the loss to step on and the number of examples in it.
    epochs
        Run exactly so many, and keep the last weights.
    recall
        Validation recall of the weights as they are, called after each epoch; the best epoch's weights are
        restored in the end. Without it, or with `epochs`, all epochs run and the last ones stay.
    batches
        About how many batches an epoch has, where that is known before the first one.
    seed
        What each process draws from when there are several.
    """

    def __init__(
        self,
        module: nn.Module,
        losses: Losses,
        config: Optimised,
        *,
        epochs: int | None = None,
        recall: Callable[[], float] | None = None,
        batches: int | None = None,
        seed: int = 0,
        device: torch.device = CPU,
        precision: Precision | None = None,
        checkpoints: Checkpoints | None = None,
        curves: Curves | None = None,
        progress: Progress = quiet,
    ) -> None:
        self._module, self._config, self._seed, self._device = module, config, seed, device
        self._precision = precision or Precision("fp32", device)
        self._losses = losses
        self._epochs = epochs or config.max_epochs
        self._judged = recall if epochs is None else None
        self._peers = Peers(device)
        self._peers.share([*module.parameters(), *module.buffers()])
        self._checkpoints = checkpoints or Checkpoints(None, "", 1.0, quiet)
        self._curves = curves or Curves(None)
        self._progress = progress
        measured = self._curves.folder is not None
        self._stepper = Stepper(module, config, self._precision.scaler, self._peers, measure=measured)
        self._state = State(batches=batches)
        self._best: dict[str, Tensor] = {}

    def run(self) -> FitReport:
        """Train to the end, from where an interrupted fit was.

        Raises
        ------
        TrainingError
            The loss or the weights are no finite numbers, or the configuration asks for what can't be.
        """
        self._go_on()
        state = self._state
        while state.epoch < self._epochs and not self._stopped():
            self._epoch()
        self._module.eval()
        if self._judged is None:
            self._stepper.average.swap()
        else:
            self._module.load_state_dict(self._best)
            self._progress(f"kept epoch {state.best_epoch} with recall@20 {state.best_recall:.4f}")
        return FitReport(state.best_epoch or len(state.history), state.seconds, state.history)

    def _stopped(self) -> bool:
        return self._judged is not None and self._state.epoch - self._state.best_epoch >= self._config.patience

    def _epoch(self) -> None:
        state, begun = self._state, time.monotonic()
        number = state.epoch + 1
        self._batches(number, begun)
        entry = {
            "epoch": float(number),
            "loss": state.tally.mean_loss,
            "learning_rate": self._stepper.rate,
            "examples_per_second": state.tally.examples / state.tally.seconds,
        }
        if state.tally.normed:
            entry["gradient_norm"] = state.tally.norm / state.tally.normed
        line = f"epoch {number}/{self._epochs}: loss {entry['loss']:.4f}"
        self._peers.share(self._module.buffers())
        self._require_finite_weights(number)
        validating = time.monotonic()
        if self._judged is not None:
            entry["recall"] = self._judge(self._judged, number)
            line += f", recall@20 {entry['recall']:.4f}"
        entry["seconds"] = state.tally.seconds + time.monotonic() - validating
        state.seconds += entry["seconds"]
        state.history.append(entry)
        state.epoch, state.batches, state.steps = number, state.tally.batches, state.tally.steps
        state.tally = Tally()
        self._progress(f"{line}, {entry['seconds']:.1f} s, {entry['examples_per_second']:,.0f} examples/s")
        self._curves.draw(entry)
        self._save()

    def _batches(self, number: int, begun: float) -> None:
        """All steps of an epoch, or those that an interrupted fit had left."""
        state = self._state
        if state.steps is None and (self._config.warmup_epochs or self._config.schedule != "constant"):
            state.steps = self._count_steps()
        losses = self._begin(number)
        if state.tally.batches:
            with self._undisturbed(), torch.no_grad():
                for _ in range(state.tally.batches):
                    next(losses)
        tally, before = state.tally, state.tally.seconds
        pulse = Pulse(f"epoch {number}/{self._epochs}", state.batches, self._progress)
        while (taken := self._step(losses, number)) is not None:
            tally.add(taken)
            tally.seconds = before + time.monotonic() - begun
            pulse.beat(tally.batches, tally.examples, tally.mean_loss, tally.seconds)
            if self._peers.alone and self._checkpoints.due:
                self._save()
        tally.seconds = before + time.monotonic() - begun

    def _step(self, losses: Iterator[tuple[Tensor, int]], number: int) -> Taken | None:
        state = self._state
        steps = state.steps or 1
        within = min(1.0, state.tally.steps / steps) if state.steps else 0.0
        try:
            taken = self._stepper.step(losses, learning_rate(self._config, number - 1 + within, 1 / steps))
        except FloatingPointError as error:
            raise self._diverged(f"the loss became {error} in epoch {number}, step {state.tally.steps + 1}") from None
        if state.first_loss is None and taken is not None:
            state.first_loss = taken.first
        return taken

    def _judge(self, recall: Callable[[], float], number: int) -> float:
        state, average = self._state, self._stepper.average
        self._module.eval()
        average.swap()
        found = self._peers.agree(recall() if self._peers.world.rank == 0 else 0.0)
        if found > state.best_recall:
            self._best = {name: value.detach().clone() for name, value in self._module.state_dict().items()}
            state.best_recall, state.best_epoch = found, number
        average.swap()
        return found

    def _require_finite_weights(self, number: int) -> None:
        if not all(bool(torch.isfinite(parameter).all()) for parameter in self._module.parameters()):
            raise self._diverged(f"weights became infinite or no numbers in epoch {number}")

    def _diverged(self, what: str) -> TrainingError:
        cure = "lower model.learning_rate or raise model.temperature"
        if self._precision.scaler.is_enabled():
            cure += ", or set training.precision to bf16"
        folder, done = self._checkpoints.folder, self._state.epoch
        kept = f"; the state after epoch {done} is kept in {folder}" if folder is not None and done else ""
        return TrainingError(f"{what}: {cure}{kept}")

    def _begin(self, number: int) -> Iterator[tuple[Tensor, int]]:
        """The losses of an epoch from its start."""
        if not self._peers.alone:  # a stream for each process, the same whether or not the fit was interrupted
            seeds = np.random.SeedSequence([self._seed, number, self._peers.world.rank])
            torch.random.manual_seed(int(seeds.generate_state(1)[0]))
        self._module.train()
        return self._precision.drawn(self._losses(number))

    def _count_steps(self) -> int:
        """Steps of an epoch: what the model says, or as many as an epoch has that is gone through without learning."""
        batches = self._state.batches
        share = self._config.accumulate * self._peers.world.size
        if batches is None:
            with self._undisturbed(), torch.no_grad():
                batches = sum(1 for _ in self._begin(1)) * self._peers.world.size
        return round(self._peers.agree(max(1, -(-batches // share))))

    @contextmanager
    def _undisturbed(self) -> Iterator[None]:
        """Random numbers and running statistics are afterwards what they were before."""
        buffers = {name: value.clone() for name, value in self._module.named_buffers()}
        with torch.random.fork_rng(devices=[self._device] if self._device.type == "cuda" else []):
            yield
        with torch.no_grad():
            for name, value in self._module.named_buffers():
                value.copy_(buffers[name])

    def _save(self) -> None:
        if self._checkpoints.folder is None or self._peers.world.rank > 0:
            return
        parts = {
            "module": self._module.state_dict(),
            "best": self._best,
            "optimiser": self._stepper.optimisers.tensors(),
            "average": self._stepper.average.tensors(),
            "random": {"cpu": torch.get_rng_state()},
        }
        if self._device.type == "cuda":
            parts["random"]["cuda"] = torch.cuda.get_rng_state(self._device)
        tensors = {f"{part}/{name}": value for part, named in parts.items() for name, value in named.items()}
        content = {
            "state": self._state.to_json(),
            "average_steps": self._stepper.average.steps,
            "scaler": self._precision.scaler.state_dict(),
        }
        self._checkpoints.save(self._state.name, tensors, content)

    def _go_on(self) -> None:
        """Continue an interrupted fit, if there is one; the first process chooses where."""
        found = self._checkpoints.latest() if self._peers.world.rank == 0 else None
        if found is not None and not self._is_same_data(State.from_json(found.content["state"])):
            self._progress(f"the checkpoints in {self._checkpoints.folder} are of other data: starting afresh")
            found = None
        done = State.from_json(found.content["state"]) if found is not None else State()
        epoch = self._peers.agree(done.epoch)
        if self._peers.world.rank > 0 and epoch > 0:
            found = self._checkpoints.read(State(epoch=int(epoch)).name)
        if found is not None:
            self._restore(found)

    def _is_same_data(self, state: State) -> bool:
        """Whether the first batch has the loss it had; GPUs add up in no fixed order."""
        with self._undisturbed():
            loss, _ = next(self._begin(1), (torch.tensor(torch.nan), 0))
        tolerance = 0.0 if self._device.type == "cpu" else 1e-3
        return state.first_loss is not None and math.isclose(float(loss.detach()), state.first_loss, rel_tol=tolerance)

    def _restore(self, found: Checkpoint) -> None:
        parts: dict[str, dict[str, Tensor]] = {}
        for key, value in found.tensors.items():
            part, _, name = key.partition("/")
            parts.setdefault(part, {})[name] = value
        self._module.load_state_dict(parts["module"])
        self._best = parts.get("best", {})
        self._stepper.optimisers.restore(parts.get("optimiser", {}))
        self._stepper.average.restore(parts.get("average", {}), found.content["average_steps"])
        if found.content["scaler"]:
            self._precision.scaler.load_state_dict(found.content["scaler"])
        torch.set_rng_state(parts["random"]["cpu"])
        if self._device.type == "cuda":
            torch.cuda.set_rng_state(parts["random"]["cuda"], self._device)
        self._state = State.from_json(found.content["state"])
        self._checkpoints.go_on_from(found.name)
        within = f", {self._state.tally.batches:,} batches" if self._state.tally.batches else ""
        self._progress(f"going on after epoch {self._state.epoch}{within}: {self._checkpoints.folder}")
