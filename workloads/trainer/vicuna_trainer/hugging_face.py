"""Ties the Hugging Face Trainer to the session: reports, saves on the operator's word, and stops after the save."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

if TYPE_CHECKING:
    from .session import Session  # which makes the callback


class SessionCallback(TrainerCallback):
    """Use `session.trainer_callback()`."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._loss: float | None = None

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: Any = None, **_: Any) -> None:
        """Remembers the last loss the Trainer logged."""
        self._loss = (logs or {}).get("loss", self._loss)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> TrainerControl:
        """Reports the step, and asks the Trainer to save or stop where the ranks have agreed to."""
        self._session.report(state.global_step, self._loss, total_steps=state.max_steps, epoch=state.epoch or 0.0)
        control.should_save = self._session.should_save() or control.should_save
        control.should_training_stop = self._session.should_stop() or control.should_training_stop
        return control

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Commits what the Trainer has just saved."""
        self._session.saved(os.path.join(args.output_dir or ".", f"checkpoint-{state.global_step}"), state.global_step)
