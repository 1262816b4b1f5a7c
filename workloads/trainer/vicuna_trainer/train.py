"""One training process: fine-tunes a LLaMA on conversations, in step with its peers. Started by the supervisor.

What a step computes depends on the recipe and the data alone, not on the number of processes: the step's sequences are dealt
out to the ranks, and each token's loss is divided by the number of tokens of the whole step. Between backward pass and
optimizer the ranks make one small all-reduce, of the loss and of what each was told; so all save, stop or fail after the
same step.
"""

from __future__ import annotations

import math
import os
import sys
import time
import traceback
import zlib
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch.distributed.device_mesh import init_device_mesh
from torch.nn.attention import SDPBackend, sdpa_kernel

from .batches import Batch, StepPlan, in_micro_batches, plan_step, tensors
from .checkpoint import Checkpointer, Outcome, load
from .config import Config
from .conversations import IGNORED
from .dataset import load_dataset
from .exits import (
    BAD_CONFIGURATION,
    BAD_INPUT,
    ERROR,
    LOSS_NOT_FINITE,
    PEER_LOST,
    STORAGE_FAILED,
    TrainingError,
)
from .export import export_model, is_exported
from .manifest import age_order, committed, parse_name, read_manifest, report_of, verify
from .model import build_model, fetch_model, learning_rate_factor, load_base_weights, load_tokenizer, model_summary
from .order import DataOrder
from .packing import Sequences
from .session import Session
from .storage import Storage, open_storage

# FastChat trained with the Hugging Face Trainer, which clips to this norm unless told otherwise.
MAX_GRADIENT_NORM = 1.0
COLLECTIVE_TIMEOUT = timedelta(minutes=30)
# A stop has a deadline, the end of training has none.
STOP_SAVE_ATTEMPTS = 3
FINAL_SAVE_ATTEMPTS = 6
# Words in the messages of exceptions that collectives raise when a peer's process is gone.
_PEER_SIGNS = ("gloo", "nccl", "connection closed by peer", "connection reset", "broken pipe", "store", "socket")


@dataclass
class Trainer:
    """The state of one training process, from start to end."""

    config: Config
    session: Session
    storage: Storage
    rows: Sequences
    validation: Sequences | None
    order: DataOrder
    model: Any
    tokenizer: Any
    optimizer: torch.optim.Optimizer
    checkpointer: Checkpointer
    device: torch.device
    total_steps: int
    step: int
    save_failed: bool = False

    def run(self) -> str:
        """Trains to the end, or until told to stop: "succeeded" or "stopped"."""
        self.session.report(self.step, None, total_steps=self.total_steps, epoch=self._epoch())
        if self._agree(0.0, may_save=False)[2]:
            return self._stop()
        while self.step < self.total_steps:
            save, stop = self._one_step()
            if stop:
                return self._stop()
            if save and self.step < self.total_steps:
                self.checkpointer.start(self.step, self.model, self.optimizer, self._about())
            self._validate()
        self._save_for_certain(FINAL_SAVE_ATTEMPTS)
        final = self.checkpointer.last
        if not is_exported(self.storage, final):
            export_model(self.storage, self.model, self.tokenizer, self.config, self.step, final)
        self.checkpointer.close()
        dist.barrier(group=self.checkpointer.group)
        return "succeeded"

    def _one_step(self) -> tuple[bool, bool]:
        started = time.monotonic()
        recipe = self.config.recipe
        number = self.step + 1
        rank, world_size = dist.get_rank(), dist.get_world_size()
        plan = plan_step(self.rows, self.order, number, rank, world_size, recipe.micro_batch_size)
        # Whatever is random in a step follows from seed, step and rank: there is no generator whose state could be lost.
        torch.manual_seed(zlib.crc32(f"{recipe.seed} {number} {rank}".encode()))
        loss_sum = self._forward_and_backward(plan, world_size)
        loss_sum, save, stop = self._agree(loss_sum)
        loss = loss_sum / max(1, plan.targets)
        if not math.isfinite(loss):
            raise TrainingError(
                LOSS_NOT_FINITE,
                f"The loss is not finite at step {number}: lower recipe.learningRate ({recipe.learning_rate:g}), raise "
                "recipe.warmupRatio, or look for broken samples in that step. The last checkpoint is from before it.",
            )
        factor = learning_rate_factor(number, self.total_steps, recipe.warmup_ratio, recipe.schedule)
        for group in self.optimizer.param_groups:
            group["lr"] = recipe.learning_rate * factor
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), MAX_GRADIENT_NORM)
        self.checkpointer.staged()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step = number
        self.checkpointer.consumed(plan.samples)
        self._last_loss = loss
        seconds = time.monotonic() - started
        self.session.report(
            number,
            loss,
            epoch=self._epoch(),
            tokens_per_second=plan.tokens / seconds,
            step_seconds=seconds,
        )
        return save, stop

    def _forward_and_backward(self, plan: StepPlan, world_size: int) -> float:
        """Adds the step's gradients; returns this rank's sum of token losses."""
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        for samples in plan.micro_batches:
            batch = tensors(self.rows, samples, self.device)
            with attention_kernel(self.config.recipe.attention):
                loss = self._loss(batch)
                # FSDP averages gradients over the ranks; what is wanted is the sum.
                (loss * (world_size / max(1, plan.targets))).backward()
            total += loss.detach()
        return float(total)

    def _loss(self, batch: Batch) -> torch.Tensor:
        """Sum of the token losses of a micro-batch."""
        logits = self.model(input_ids=batch.ids, position_ids=batch.positions).logits
        targets = batch.labels[:, 1:].flatten()
        return F.cross_entropy(logits[:, :-1].float().flatten(0, 1), targets, ignore_index=IGNORED, reduction="sum")

    def _validate(self) -> None:
        """Reports the loss on the validation data where that is due; given up where something cannot wait for it."""
        asked = self.config.validation
        if asked is None or self.validation is None or (self.step % asked.every_steps != 0 and self.step != self.total_steps):
            return
        rows, rank, world_size = self.validation, dist.get_rank(), dist.get_world_size()
        share: list[int | None] = list(range(rank, len(rows), world_size))
        share += [None] * (math.ceil(len(rows) / world_size) - len(share))
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        self.model.eval()
        try:
            for samples in in_micro_batches(share, self.config.recipe.micro_batch_size):
                urgent = torch.tensor([float(self.session.is_urgent())])
                dist.all_reduce(urgent)
                if urgent.item() > 0:
                    return
                with torch.no_grad(), attention_kernel(self.config.recipe.attention):
                    total += self._loss(tensors(rows, samples, self.device))
        finally:
            self.model.train()
        sums = total.cpu()
        dist.all_reduce(sums)
        targets = sum(rows.target_count(row) for row in range(len(rows)))
        loss = float(sums) / max(1, targets)
        if math.isfinite(loss):
            self.session.report(self.step, self._last_loss, validation={"step": self.step, "loss": loss})

    def _agree(self, loss_sum: float, may_save: bool = True) -> tuple[float, bool, bool]:
        """The step's one all-reduce: (loss summed over the ranks, whether to save, whether to stop)."""
        save, stop = self.session.votes(self.step + 1, busy=not may_save or self.checkpointer.in_flight is not None)
        mine = [loss_sum, save, stop, self.checkpointer.finished()]
        numbers = torch.tensor(mine, dtype=torch.float64)
        dist.all_reduce(numbers)
        loss, saves, stops, finished = numbers.tolist()
        if finished == dist.get_world_size():
            self._note(self.checkpointer.settle())
        self.session.agree(self.step + 1, saves > 0, stops > 0)
        return loss, saves > 0, stops > 0

    def _save_now(self) -> Outcome:
        """The outcome of saving this very step, waiting for it."""
        if self.checkpointer.in_flight is not None:
            outcome = self.checkpointer.settle()
            self._note(outcome)
            if outcome.step == self.step and outcome.checkpoint is not None:
                return outcome
        self.checkpointer.start(self.step, self.model, self.optimizer, self._about())
        outcome = self.checkpointer.settle()
        self._note(outcome)
        return outcome

    def _stop(self) -> str:
        if self.step > 0:
            self._save_for_certain(STOP_SAVE_ATTEMPTS)
        return "stopped"

    def _save_for_certain(self, attempts: int) -> None:
        """Saves this very step, unless that is done; tries again because nothing comes after it. Raises TrainingError (74)."""
        for attempt in range(attempts):
            if self._saved_step == self.step:
                return
            if attempt > 0:
                time.sleep(2 ** (attempt - 1))
            outcome = self._save_now()
        if outcome.checkpoint is None:
            raise TrainingError(
                STORAGE_FAILED,
                f"Step {self.step} could not be saved to {self.storage.uri} before the end ({outcome.error}). Training resumes "
                "from the checkpoint before it. Repair the storage.",
            )

    _saved_step: int = -1
    _last_loss: float | None = None

    def _note(self, outcome: Outcome) -> None:
        if outcome.checkpoint is not None:
            self._saved_step = outcome.step
            self.session.committed(outcome.checkpoint)
            if self.save_failed:
                self.session.warn(None)
            self.save_failed = False
            return
        self.save_failed = True
        self.session.save_failed()
        sentence = f"The save of step {outcome.step} to {self.storage.uri} failed ({outcome.error}); training goes on."
        print(sentence, file=sys.stderr, flush=True)
        self.session.warn(sentence)

    def _about(self) -> dict[str, Any]:
        recipe = self.config.recipe
        return {
            "epoch": self._epoch(),
            "epochSize": len(self.rows.dataset),
            "batch": self.order.batch,
            "seed": recipe.seed,
            "dataset": self.rows.fingerprint,
            "totalSteps": self.total_steps,
            "learningRate": self.optimizer.param_groups[0]["lr"],
            **({} if self.config.owner is None else {"owner": self.config.owner}),
        }

    def _epoch(self) -> float:
        return round(self.step / self.order.steps_per_epoch, 6)


def attention_kernel(name: str) -> AbstractContextManager[Any]:
    """ "flash" insists on the flash kernel, in the backward pass's recomputation too; "sdpa" leaves the choice to torch."""
    return sdpa_kernel(SDPBackend.FLASH_ATTENTION) if name == "flash" else nullcontext()


def prepare(config: Config, session: Session) -> Trainer:
    """Everything up to the first step. Raises TrainingError and OSError."""
    recipe = config.recipe
    device, backend = _device(session.local_rank)
    dist.init_process_group(backend, timeout=COLLECTIVE_TIMEOUT, device_id=device if device.type == "cuda" else None)
    mesh = init_device_mesh(device.type, (dist.get_world_size(),))
    builds = session.local_rank == 0
    cache = Path(os.environ.get("VICUNA_WORKER_CACHE", "/tmp/vicuna-cache"))
    resumes = session.resume_uri is not None
    # A checkpoint of adapters alone needs the base again.
    model_directory = fetch_model(config.model, cache, with_weights=not resumes or recipe.lora is not None, builds=builds)
    tokenizer_directory = model_directory
    if config.tokenizer != config.model:
        tokenizer_directory = fetch_model(config.tokenizer, cache, with_weights=False, builds=builds)
    dist.barrier()
    tokenizer = load_tokenizer(tokenizer_directory)
    tokenizer_key = _tokenizer_key(tokenizer_directory)
    rows, validation = (
        None
        if uri is None
        else Sequences.of(
            load_dataset(uri, tokenizer, tokenizer_key, recipe.context_length, cache, builds, recipe.conversation_template),
            recipe.packing,
            recipe.context_length,
        )
        for uri in (config.dataset, None if config.validation is None else config.validation.dataset)
    )
    assert rows is not None
    order = DataOrder(len(rows), recipe.sequences_per_step, recipe.seed)
    total_steps = order.total_steps(recipe.epochs, recipe.max_steps)
    model = build_model(model_directory, recipe, device, mesh)
    if len(tokenizer) > model.config.vocab_size:
        raise TrainingError(
            BAD_CONFIGURATION,
            f"The tokenizer has {len(tokenizer)} tokens, the model's vocabulary only {model.config.vocab_size}: "
            "they do not belong together. Correct model.tokenizer.",
        )
    optimizer = torch.optim.AdamW(
        [parameter for parameter in model.parameters() if parameter.requires_grad],
        lr=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        betas=(0.9, 0.999),
        eps=1e-8,
        fused=device.type == "cuda",
    )
    storage = open_storage(config.storage)
    parent = None if session.resume_uri is None else session.resume_uri.rpartition("/")[2]
    checkpointer = Checkpointer(storage, session.generation, config.keep, parent)
    trainer = Trainer(
        config, session, storage, rows, validation, order, model, tokenizer, optimizer, checkpointer, device, total_steps, 0
    )
    checkpointer.protected = lambda: {
        uri.rpartition("/")[2] for uri in (session.directive().acknowledged, session.resume_uri) if uri is not None
    }
    if parent is None:
        _refuse_used(trainer)  # before the weights are loaded
    if parent is None or recipe.lora is not None:
        source = load_base_weights(model, model_directory, recipe.seed)
    if parent is None:
        _say(f"{model_summary(model)}, weights from {config.model if source == 'file' else f'seed {recipe.seed}'}.")
    else:
        _resume(trainer, parent)
    return trainer


def _of_others(trainer: Trainer) -> list[str]:
    """The checkpoints in the storage that another training has made, oldest first; none where it is not known whose they are."""
    owner = trainer.config.owner
    if owner is None:
        return []

    def found() -> list[str]:
        storage = trainer.storage
        return [name for name in committed(storage) if (read_manifest(storage, name) or {}).get("owner") != owner]

    return _on_rank_0(found, trainer.checkpointer.group)


def _refuse_used(trainer: Trainer) -> None:
    """A training that begins must not mix its checkpoints with another's, whose work would then be lost."""
    others = _of_others(trainer)
    if others:
        raise TrainingError(
            BAD_CONFIGURATION,
            f"{trainer.storage.uri} holds checkpoints of an earlier training, the last one {others[-1]}: create the training with "
            f"checkpoint.resumeFrom: {others[-1]} to go on from it, or with another checkpoint.storage to begin anew.",
        )


def _refuse_earlier(trainer: Trainer, name: str) -> None:
    """What another training has made after the checkpoint that this one goes on from would be taken for this one's."""
    later = [other for other in _of_others(trainer) if age_order(other) > age_order(name)]
    if later:
        raise TrainingError(
            BAD_CONFIGURATION,
            f"{name} is not the last checkpoint in {trainer.storage.uri}, {later[-1]} is: go on from that one, or copy {name} "
            "into another checkpoint.storage and go on from it there.",
        )


def _resume(trainer: Trainer, name: str) -> None:
    """Sets the state from the checkpoint that the operator names: no other, and only when it is whole."""
    session = trainer.session
    uri = session.resume_uri
    if uri != trainer.storage.path_uri(name) or parse_name(name) is None:
        raise TrainingError(BAD_INPUT, f"{uri} is no checkpoint in {trainer.storage.uri}: resume from one of this training.")
    manifest = _on_rank_0(lambda: verify(trainer.storage, name), trainer.checkpointer.group)
    mine = trainer._about()
    for key, what in (("dataset", "the dataset"), ("batch", "recipe.globalBatchTokens"), ("seed", "recipe.seed")):
        if manifest[key] != mine[key]:
            raise TrainingError(
                BAD_CONFIGURATION,
                f"{uri} cannot be resumed: {what} was {manifest[key]} then and is {mine[key]} now. Samples would be used twice "
                "or never. Restore it, or start a new training.",
            )
    if manifest.get("owner") not in (None, trainer.config.owner):
        _refuse_earlier(trainer, name)
    load(trainer.storage, name, trainer.model, trainer.optimizer, trainer.checkpointer.group)
    trainer.step = manifest["step"]
    trainer._saved_step = trainer.step
    if trainer.step != session.resume_step:
        raise TrainingError(BAD_INPUT, f"{uri} is of step {trainer.step}, not of step {session.resume_step} as the operator says.")
    session.committed(report_of(manifest, uri))


def _on_rank_0(work: Any, group: dist.ProcessGroup) -> Any:
    """Does the work on rank 0 alone; its result, or its error, on every rank."""
    box: list[Any] = [None, None]
    if dist.get_rank() == 0:
        try:
            box[0] = work()
        except TrainingError as error:
            box[1] = (error.exit_code, str(error))
        except OSError as error:
            box[1] = (STORAGE_FAILED, str(error))
    dist.broadcast_object_list(box, src=0, group=group)
    if box[1] is not None:
        raise TrainingError(*box[1])
    return box[0]


def _device(local_rank: int) -> tuple[torch.device, str]:
    if not torch.cuda.is_available():
        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
        return torch.device("cpu"), "gloo"
    device = torch.device("cuda", local_rank)
    torch.cuda.set_device(device)
    return device, "cpu:gloo,cuda:nccl"


def _tokenizer_key(directory: Path) -> str:
    parts = [path.read_bytes() for path in sorted(directory.glob("*token*.json")) if path.stat().st_size < 1 << 28]
    return f"{zlib.crc32(b''.join(parts)):08x}"


def _say(sentence: str) -> None:
    if dist.get_rank() == 0:
        print(sentence, file=sys.stderr, flush=True)


def main() -> int:
    """Trains; the exit code. Never returns to the interpreter's own end: threads of dead collectives would hold it up."""
    session = Session()
    code = 0
    try:
        trainer = prepare(Config.from_environment(), session)
        session.finish(trainer.run())
    except TrainingError as error:
        code = _fail(session, error.exit_code, str(error))
    except BaseException as error:
        traceback.print_exc()
        if _is_peer_loss(error):
            code = _fail(session, PEER_LOST, f"A peer of rank {session.rank} was lost: {error}")
        elif isinstance(error, OSError):
            code = _fail(session, STORAGE_FAILED, f"A file could not be read or written: {error}")
        else:
            code = _fail(session, ERROR, f"{type(error).__name__}: {error}")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _fail(session: Session, code: int, message: str) -> int:
    print(message, file=sys.stderr, flush=True)
    session.finish("failed", message)
    return code


def _is_peer_loss(error: BaseException) -> bool:
    if isinstance(error, dist.DistError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(sign in text for sign in _PEER_SIGNS)


if __name__ == "__main__":
    main()
