"""Checkpoints: asynchronous torch DCP into a directory or an object store, committed by a manifest that is written last.

A save has three parts. *Staging* copies the state to memory of its own while the next step's forward and backward run (they
only read it); training waits for it before the optimizer changes the state: that wait, with the collecting of the state, is
the stall. *Writing* goes on behind the following steps, on a gloo group of its own: sharing training's group would mix
up its collectives. *Committing* is rank 0's: the samples log, the manifest, and on file systems the rename that makes the
directory visible under its name. Whatever fails before that leaves no checkpoint, and training unharmed.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import IO, Any

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.filesystem import FileSystemBase, FileSystemReader, FileSystemWriter
from torch.distributed.checkpoint.metadata import Metadata
from torch.distributed.checkpoint.planner import SavePlan, SavePlanner
from torch.distributed.checkpoint.staging import DefaultStager, StagingOptions
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict, set_state_dict
from torch.distributed.checkpoint.storage import WriteResult

from .manifest import (
    INCOMPLETE,
    age_order,
    checkpoint_name,
    committed,
    now,
    parse_name,
    read_manifest,
    report_of,
    write_manifest,
)
from .samples import StepSamples, merge, samples_path
from .storage import DELETED, Storage

# Of an adapter's training nothing but the adapter is saved: the base has not changed.
OPTIONS = StateDictOptions(flatten_optimizer_state_dict=True, ignore_frozen_params=True)


@dataclass(frozen=True)
class Outcome:
    """How a save ended: the checkpoint as it is reported, or why there is none."""

    step: int
    checkpoint: dict[str, Any] | None
    error: str | None


@dataclass
class _Saving:
    step: int
    started: float
    stall: float
    staging: Future[Any]
    writing: Future[Outcome]


class Checkpointer:
    """Makes the checkpoints of one generation; one save at a time. All ranks must call the same methods in the same order."""

    def __init__(self, storage: Storage, generation: int, keep: int, parent: str | None) -> None:
        self._storage = storage
        self._generation = generation
        self._keep = keep
        self._parent = parent
        self._group = dist.new_group(backend="gloo")
        self._rank = dist.get_rank()
        on_gpu = torch.cuda.is_available()
        self._stager = DefaultStager(
            StagingOptions(use_pinned_memory=on_gpu, use_shared_memory=False, use_async_staging=True, use_non_blocking_copy=on_gpu)
        )
        # torch 2.11 empties the stager after each use, after which it can copy nothing more. Kept as it is, it also keeps its
        # buffers (pinned memory is slow to get), which is safe since one save follows the other.
        self._stager._state_dict_stager.close = lambda: None
        self._after_writing = ThreadPoolExecutor(max_workers=1, thread_name_prefix="commit")
        self._saving: _Saving | None = None
        self._samples: list[StepSamples] = []
        self.protected: Callable[[], set[str]] = set

    @property
    def last(self) -> str | None:
        """Name of the last checkpoint that was committed, or of the one that training resumed from."""
        return self._parent

    @property
    def group(self) -> dist.ProcessGroup:
        """The gloo group that saving has to itself; free while nothing is being saved."""
        return self._group

    @property
    def in_flight(self) -> int | None:
        """Step of the save that has not been settled yet."""
        return None if self._saving is None else self._saving.step

    def consumed(self, samples: StepSamples) -> None:
        """Notes what this rank has fed into a step, for the samples log of the next checkpoint."""
        self._samples.append(samples)

    def start(self, step: int, model: torch.nn.Module, optimizer: torch.optim.Optimizer, about: dict[str, Any]) -> None:
        """Begins to save the state after `step`; `about` goes into the manifest. Call `staged` before the state changes."""
        assert self._saving is None, "one save at a time"
        started = time.monotonic()
        state = _state(model, optimizer)
        if torch.cuda.is_available():
            torch.cuda.synchronize()  # the staging stream must see the optimizer's last writes
        name = checkpoint_name(step, self._generation)
        manifest = {
            "version": 1,
            "step": step,
            "generation": self._generation,
            "worldSize": dist.get_world_size(),
            **about,
            "parent": self._parent,
            "samples": samples_path(name),
        }
        writer = _Writer(self._storage, name, manifest, list(self._samples), lambda: self._times(started))
        response = dcp.async_save(state, storage_writer=writer, process_group=self._group, async_stager=self._stager)
        result: Future[Outcome] = Future()
        response.upload_completion.add_done_callback(
            lambda future: self._after_writing.submit(self._settle, future, result, name, step, started)
        )
        self._saving = _Saving(step, started, time.monotonic() - started, response.staging_completion, result)

    def staged(self) -> None:
        """Waits until the state has been copied; it may change then."""
        if self._saving is not None and not self._saving.staging.done():
            waiting = time.monotonic()
            with contextlib.suppress(Exception):  # the write will fail by it, and that is reported
                self._saving.staging.result()
            self._saving.stall += time.monotonic() - waiting

    def finished(self) -> bool:
        """Whether the save under way has ended here; other ranks may be behind."""
        return self._saving is not None and self._saving.writing.done()

    def settle(self) -> Outcome:
        """Waits for the end of the save under way. All ranks get the same outcome."""
        assert self._saving is not None, "nothing is being saved"
        saving = self._saving
        outcome = saving.writing.result()
        self._saving = None
        if outcome.checkpoint is not None:
            self._parent = checkpoint_name(saving.step, self._generation)
            self._samples = [samples for samples in self._samples if samples.step > saving.step]
            outcome.checkpoint["stallSeconds"] = round(saving.stall, 4)
        return outcome

    def close(self) -> None:
        """Waits until old checkpoints have been deleted. Only when nothing is being saved."""
        self._after_writing.shutdown(wait=True)

    def _times(self, started: float) -> dict[str, float]:
        stall = 0.0 if self._saving is None else self._saving.stall
        return {"seconds": round(time.monotonic() - started, 4), "stallSeconds": round(stall, 4)}

    def _settle(self, future: Future[Any], result: Future[Outcome], name: str, step: int, started: float) -> None:
        try:
            future.result()
            manifest = read_manifest(self._storage, name)
            if manifest is None:
                raise OSError(f"the manifest of {self._storage.path_uri(name)} is gone")
            report = report_of(manifest, self._storage.path_uri(name))
            report["seconds"] = round(time.monotonic() - started, 4)
            result.set_result(Outcome(step, report, None))
        except BaseException as error:
            result.set_result(Outcome(step, None, _cause(error)))
            return
        if self._rank == 0:
            retain(self._storage, self._keep, {name, *self.protected()}, self._generation)


def _state(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    model_state, optimizer_state = get_state_dict(model, optimizer, options=OPTIONS)
    return {"model": model_state, "optimizer": optimizer_state}


def load(storage: Storage, name: str, model: torch.nn.Module, optimizer: torch.optim.Optimizer, group: dist.ProcessGroup) -> None:
    """Sets model and optimizer from a checkpoint made by any number of processes. Raises what the storage raises."""
    state = _state(model, optimizer)
    dcp.load(state, storage_reader=_Reader(storage, name), process_group=group)
    whole = all(parameter.requires_grad for parameter in model.parameters())
    options = OPTIONS if whole else replace(OPTIONS, strict=False)
    set_state_dict(model, optimizer, model_state_dict=state["model"], optim_state_dict=state["optimizer"], options=options)


def retain(storage: Storage, keep: int, protected: set[str], generation: int) -> None:
    """Deletes all complete checkpoints but the newest `keep` and the protected, and what dead generations left unfinished.

    Trouble is logged and nothing more: the next save tries again.
    """
    try:
        kept = {*committed(storage)[-keep:], *protected}
        for name in storage.children(""):
            if DELETED in name:
                storage.delete(name)
                continue
            base = name.removesuffix(INCOMPLETE)
            known = parse_name(base)
            if known is None:
                continue
            if name == base:
                doomed = name not in kept and age_order(name) < max((age_order(k) for k in kept), default=(0, 0))
                doomed = doomed and read_manifest(storage, name) is not None
            else:
                doomed = known[1] < generation
            if doomed:
                storage.delete(name)
    except OSError as error:
        print(f"Old checkpoints in {storage.uri} could not be deleted: {error}", file=sys.stderr)


class _Results(list[WriteResult]):
    """DCP gathers this from every rank for the coordinator: what was written, with checksums, and the samples consumed."""

    files: list[dict[str, Any]]
    samples: list[StepSamples]


class _Writer(FileSystemWriter):
    """DCP's own writer over our storage, which counts and checksums what it writes, and commits in `finish`."""

    def __init__(
        self,
        storage: Storage,
        name: str,
        manifest: dict[str, Any],
        samples: list[StepSamples],
        times: Callable[[], dict[str, float]],
    ) -> None:
        super().__init__(storage.path_uri(name), sync_files=False, thread_count=1, per_thread_copy_ahead=0)
        self._name = name
        self._storage = storage
        self._manifest = manifest
        self._samples = samples
        self._times = times
        self._directory = f"{name}{INCOMPLETE}" if storage.can_rename else name
        self.fs = _Files(storage, self._directory)
        self.path = self._directory

    def write_data(self, plan: SavePlan, planner: SavePlanner) -> torch.futures.Future[list[WriteResult]]:
        """Writes this rank's part; the result carries its files' sizes and checksums."""
        results = _Results(super().write_data(plan, planner).value())
        results.files = self.fs.written()
        results.samples = self._samples
        future: torch.futures.Future[list[WriteResult]] = torch.futures.Future()
        future.set_result(results)
        return future

    def finish(self, metadata: Metadata, results: list[list[WriteResult]]) -> None:
        """Commits, on the coordinator, once every rank has written."""
        self.fs.forget()
        super().finish(metadata, [list(part) for part in results])
        files = [file for part in results if isinstance(part, _Results) for file in part.files] + self.fs.written()
        steps = merge([samples for part in results if isinstance(part, _Results) for samples in part.samples])
        log = {key: self._manifest[key] for key in ("step", "generation", "parent", "epochSize")}
        self._storage.write(self._manifest["samples"], json.dumps({**log, "steps": steps}).encode())
        manifest = {**self._manifest, **self._times(), "files": sorted(files, key=lambda file: file["path"]), "savedAt": now()}
        write_manifest(self._storage, self._directory, manifest)
        if self._storage.can_rename:
            # Left over when a save of this very step failed after its rename: it is ours, and complete or not we have better.
            self._storage.delete(self._name)
            self._storage.rename(self._directory, self._name)

    def prepare_local_plan(self, plan: SavePlan) -> SavePlan:
        """Nothing to prepare: directories come with their files, and names are never used twice."""
        return plan


class _Reader(FileSystemReader):
    """DCP's own reader over our storage."""

    def __init__(self, storage: Storage, name: str) -> None:
        super().__init__(storage.path_uri(name))
        self.fs = _Files(storage, name)
        self.path = name


class _Files(FileSystemBase):
    """DCP's view of one checkpoint directory in a Storage; remembers what was written."""

    def __init__(self, storage: Storage, directory: str) -> None:
        self._storage = storage
        self._directory = directory
        self._written: dict[str, dict[str, Any]] = {}

    def written(self) -> list[dict[str, Any]]:
        """Every file written since `forget`: path in the checkpoint, bytes, CRC-32."""
        return list(self._written.values())

    def forget(self) -> None:
        """Starts the list anew."""
        self._written.clear()

    @contextlib.contextmanager
    def create_stream(self, path: str | os.PathLike[str], mode: str) -> Iterator[io.IOBase]:
        stream = self._storage.open(str(path), mode)
        if "r" in mode:
            with stream:
                yield stream
            return
        counting = _CountingStream(stream)
        yield counting
        counting.close()
        relative = str(path).removeprefix(f"{self._directory}/")
        self._written[relative] = {"path": relative, "bytes": counting.bytes, "crc32": f"{counting.crc:08x}"}

    def concat_path(self, path: str | os.PathLike[str], suffix: str) -> str:
        return f"{path}/{suffix}"

    def rename(self, path: str | os.PathLike[str], new_path: str | os.PathLike[str]) -> None:
        old, new = (str(p).removeprefix(f"{self._directory}/") for p in (path, new_path))
        if self._storage.can_rename:
            self._storage.rename(str(path), str(new_path))
        else:
            self._storage.write(str(new_path), self._storage.read(str(path)))
            self._storage.delete(str(path))
        if old in self._written:
            self._written[new] = {**self._written.pop(old), "path": new}

    def init_path(self, path: str | os.PathLike[str]) -> str:
        return str(path)

    def mkdir(self, path: str | os.PathLike[str]) -> None:
        """Directories come with their files."""

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: str | os.PathLike[str]) -> bool:
        return True

    def exists(self, path: str | os.PathLike[str]) -> bool:
        return str(path).rpartition("/")[2] in self._storage.children(str(path).rpartition("/")[0])

    def rm_file(self, path: str | os.PathLike[str]) -> None:
        self._storage.delete(str(path))


class _CountingStream(io.RawIOBase):
    """Write-only stream that knows how much went through it, and its CRC-32. Close flushes to the disk where there is one."""

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__()
        self._stream = stream
        self.bytes = 0
        self.crc = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        self._stream.write(view)
        self.crc = zlib.crc32(view, self.crc)
        self.bytes += len(view)
        return len(view)

    def tell(self) -> int:
        return self.bytes

    def flush(self) -> None:
        if not self._stream.closed:
            self._stream.flush()

    def close(self) -> None:
        if self._stream.closed:
            return
        self._stream.flush()
        with contextlib.suppress(io.UnsupportedOperation, AttributeError):
            os.fsync(self._stream.fileno())
        self._stream.close()
        super().close()


def _cause(error: BaseException) -> str:
    """DCP wraps what every rank raised, with tracebacks; the first cause in one line says more."""
    failures = getattr(error, "failures", None)
    if isinstance(failures, dict) and failures:
        rank, (cause, _) = sorted(failures.items())[0]
        return f"{type(cause).__name__} on rank {rank}: {cause}"[:500]
    return f"{type(error).__name__}: {error}"[:500]


def checksum_of_file(path: str | os.PathLike[str]) -> str:
    """CRC-32 of a local file, 8 hexadecimal digits."""
    crc = 0
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            crc = zlib.crc32(chunk, crc)
    return f"{crc:08x}"
