"""What a training program needs to be interrupted without loss; works in any torchrun-style program.

    from vicuna_trainer import session

    for step in range(session.resume_step() + 1, total_steps + 1):
        loss = train(step)
        session.report(step, loss, total_steps=total_steps)
        if session.should_save():            # on every rank, once per step: the ranks agree in it
            save_to(directory)               # below checkpoint.storage
            session.saved(directory, step)
        if session.should_stop():
            break

Without a supervisor all of it does nothing, so the same program runs anywhere. Programs based on the Hugging Face Trainer
add `session.trainer_callback()` instead.

The channel: the supervisor keeps `directive.json` in the session directory (VICUNA_SESSION), replaced as a whole, and
listens on the datagram socket `socket` beside it. Each datagram carries the process's whole state, so a lost one does no harm.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

DIRECTIVE_FILE = "directive.json"
SOCKET_FILE = "socket"


@dataclass(frozen=True)
class Directive:
    """What the pod was last told. `order` is run, checkpoint or stop; `acknowledged` the last checkpoint the operator knows of."""

    revision: str = ""
    order: str = "run"
    deadline: str | None = None
    interval: dict[str, int] = field(default_factory=dict)
    acknowledged: str | None = None


class Session:
    """One training process's line to its supervisor."""

    def __init__(self, env: Mapping[str, str] = os.environ) -> None:
        self.directory = env.get("VICUNA_SESSION")
        self.generation = int(env.get("VICUNA_GENERATION", "0"))
        self.rank = int(env.get("RANK", "0"))
        self.local_rank = int(env.get("LOCAL_RANK", "0"))
        self.resume_uri = env.get("VICUNA_RESUME_URI") or None
        self.resume_step = int(env.get("VICUNA_RESUME_STEP", "0"))
        self._state: dict[str, Any] = {"state": "starting", "step": self.resume_step, "totalSteps": 0, "epoch": 0.0}
        self._socket: socket.socket | None = None
        self._directive = Directive()
        self._directive_seen: tuple[int, int] | None = None
        self._handled = ""
        self._stopping = False
        self._last_save_at = time.monotonic()
        self._last_save_step = self.resume_step
        self._save_started_at = time.monotonic()

    def report(
        self,
        step: int,
        loss: float | None = None,
        *,
        total_steps: int | None = None,
        epoch: float | None = None,
        tokens_per_second: float | None = None,
        step_seconds: float | None = None,
        validation: dict[str, float] | None = None,
    ) -> None:
        """Tells that `step` optimizer steps are done. A loss that is not finite is reported as none.

        `validation`: {"step", "loss"} of the last look at conversations that are not trained on.
        """
        if self._state["state"] == "starting":
            self._state["state"] = "running"
            self._state["resumedStep"] = self.resume_step
        self._state["step"] = step
        self._state["loss"] = loss if loss is not None and math.isfinite(loss) else None
        optional = {
            "totalSteps": total_steps,
            "epoch": epoch,
            "tokensPerSecond": tokens_per_second,
            "stepSeconds": step_seconds,
            "validation": validation,
        }
        self._state.update({name: value for name, value in optional.items() if value is not None})
        self._send()

    def finish(self, state: str, message: str | None = None) -> None:
        """Tells how the program ends: "succeeded", "stopped" or "failed". Exit right after it."""
        self._state["state"] = state
        if message is not None:
            self._state["message"] = message
        self._send()

    def votes(self, step: int, busy: bool = False) -> tuple[bool, bool]:
        """This rank's own wish (save, stop) after `step`; act on it only once all ranks have agreed, then call `agree`.

        While `busy` with a save, only a stop asks for another one: the rest is asked for again when that one has ended.
        """
        directive = self.directive()
        stop = directive.order == "stop"
        told = directive.order == "checkpoint" and directive.revision != self._handled
        due = self.rank == 0 and self._is_due(step, directive.interval)
        return stop or ((told or due) and not busy), stop

    def is_urgent(self) -> bool:
        """Whether there is something to do that cannot wait for a look at the validation data."""
        directive = self.directive()
        return directive.order == "stop" or (directive.order == "checkpoint" and directive.revision != self._handled)

    def agree(self, step: int, save: bool, stop: bool) -> None:
        """Notes what the ranks agreed on after `step`."""
        if save:
            self._handled = self._directive.revision
            self._last_save_at = self._save_started_at = time.monotonic()
            self._last_save_step = step
        self._stopping = stop

    def should_save(self) -> bool:
        """Whether to save now. Every rank must ask once per step: it is one small all-reduce where torch.distributed is in use."""
        step = int(self._state["step"])
        save, stop = _any_rank(*self.votes(step))
        self.agree(step, save, stop)
        return save

    def should_stop(self) -> bool:
        """Whether the program is to end now, after its save; as of the last `should_save`."""
        return self._stopping

    def saved(self, path: str, step: int | None = None) -> None:
        """Commits the files below `path` (a directory, or a URI below checkpoint.storage) as the checkpoint of `step`.

        Rank 0 writes the manifest; call it once all ranks have written their files.
        """
        if self.rank != 0 or self.directory is None:
            return
        from .manifest import commit_foreign

        at = int(self._state["step"]) if step is None else step
        self.committed(commit_foreign(path, at, self.generation, time.monotonic() - self._save_started_at))

    def committed(self, checkpoint: dict[str, Any]) -> None:
        """Reports a checkpoint whose manifest exists."""
        self._state["checkpoint"] = checkpoint
        self._send()

    def save_failed(self) -> None:
        """Has the next save tried again after a quarter of the interval, at least 10 s, instead of a whole one."""
        seconds = self._directive.interval.get("seconds", 0)
        self._last_save_at = min(self._last_save_at, time.monotonic() - max(0.0, seconds - max(10.0, seconds / 4)))

    def warn(self, message: str | None) -> None:
        """Reports trouble that training goes on with (a failed periodic save); None takes it back."""
        self._state.pop("message", None)
        if message is not None:
            self._state["message"] = message
        self._send()

    def directive(self) -> Directive:
        """What the pod was last told; costs one stat where nothing has changed."""
        if self.directory is None:
            return self._directive
        path = os.path.join(self.directory, DIRECTIVE_FILE)
        with contextlib.suppress(OSError, ValueError, KeyError):
            status = os.stat(path)
            seen = (status.st_ino, status.st_mtime_ns)
            if seen != self._directive_seen:
                with open(path, encoding="utf-8") as file:
                    value = json.load(file)
                self._directive = Directive(
                    value["revision"], value["order"], value["deadline"], value["interval"], value["acknowledged"]
                )
                self._directive_seen = seen
        return self._directive

    def _is_due(self, step: int, interval: dict[str, int]) -> bool:
        if step <= self._last_save_step:
            return False
        if "steps" in interval:
            return step - self._last_save_step >= interval["steps"]
        return "seconds" in interval and time.monotonic() - self._last_save_at >= interval["seconds"]

    def _send(self) -> None:
        if self.directory is None:
            return
        with contextlib.suppress(OSError):  # the supervisor is gone or slow: the next datagram says it all again
            if self._socket is None:
                self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
                self._socket.settimeout(1.0)
                self._socket.connect(os.path.join(self.directory, SOCKET_FILE))
            message = {"generation": self.generation, "localRank": self.local_rank, **self._state}
            self._socket.send(json.dumps(message, allow_nan=False).encode())


def _any_rank(save: bool, stop: bool) -> tuple[bool, bool]:
    """The logical or over all ranks, where torch.distributed is in use."""
    import sys

    torch = sys.modules.get("torch")
    if torch is None or not torch.distributed.is_initialized():
        return save, stop
    device = "cuda" if torch.distributed.get_backend() == "nccl" else "cpu"
    votes = torch.tensor([int(save), int(stop)], dtype=torch.int32, device=device)
    torch.distributed.all_reduce(votes, op=torch.distributed.ReduceOp.MAX)
    return bool(votes[0]), bool(votes[1])


_default: Session | None = None


def current() -> Session:
    """The process's session."""
    global _default
    if _default is None:
        _default = Session()
    return _default


def report(step: int, loss: float | None = None, **more: Any) -> None:
    """See Session.report."""
    current().report(step, loss, **more)


def should_save() -> bool:
    """See Session.should_save."""
    return current().should_save()


def should_stop() -> bool:
    """See Session.should_stop."""
    return current().should_stop()


def saved(path: str, step: int | None = None) -> None:
    """See Session.saved."""
    current().saved(path, step)


def resume_step() -> int:
    """The step to go on from; 0 = from the beginning."""
    return current().resume_step


def resume_uri() -> str | None:
    """The checkpoint to go on from, or None."""
    return current().resume_uri


def trainer_callback() -> Any:
    """A `transformers.TrainerCallback` that ties a Hugging Face Trainer to the session.

    The Trainer's output_dir must be below checkpoint.storage; pass `resume_from_checkpoint=session.resume_path()`.
    """
    from .hugging_face import SessionCallback

    return SessionCallback(current())


def resume_path() -> str | None:
    """The checkpoint to go on from as a local path, or None: at the beginning, or where it lies in an object store."""
    uri = current().resume_uri
    return uri.removeprefix("file://") if uri is not None and uri.startswith("file://") else None
