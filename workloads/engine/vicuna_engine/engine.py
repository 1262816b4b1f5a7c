"""The model's own thread: takes jobs, runs steps, hands out what they bring.

Everything that touches the model happens in it. Other threads only put jobs in and ask for counts.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .answer import Answer, Delta, GenerationRequest
from .engine_metrics import EngineMetrics
from .errors import ApiError, unavailable
from .model_runner import ModelRunner, Output
from .scheduler import Scheduler, Sequence, Step
from .vocabulary import Vocabulary


@dataclass(frozen=True)
class EmbeddingRequest:
    """The tokens of one text to embed."""

    prompt: tuple[int, ...]


@dataclass(frozen=True)
class Embedding:
    """The mean of a text's last hidden states, of length 1."""

    vector: list[float]


Event = Delta | Embedding | ApiError


@dataclass(eq=False)
class Job:
    """A request on its way. `deadline` is in the clock's seconds; `receive` gets its events, in the thread of `Engine.post`."""

    request: GenerationRequest | EmbeddingRequest
    receive: Callable[[Event], None]
    deadline: float = float("inf")
    arrived: float = 0.0
    sequence: Sequence | None = None
    answer: Answer | None = None
    last_token: float | None = None
    pooled: Tensor | None = None


Post = Callable[[list[tuple[Job, Event]]], None]


@dataclass
class Loaded:
    """A model that is ready to run."""

    runner: ModelRunner
    scheduler: Scheduler
    vocabulary: Vocabulary


class Engine:
    """Runs jobs on a model. `start` begins with loading it; until then, and after `stop`, jobs are refused."""

    def __init__(
        self,
        load: Callable[[], Loaded],
        post: Post,
        most_waiting: int,
        on_end: Callable[[BaseException | None], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`post` is called in the engine's thread with what a step brought; `on_end` when the thread ends, with the reason."""
        self._load = load
        self._post = post
        self._most_waiting = most_waiting
        self._on_end = on_end
        self._clock = clock
        self._loaded: Loaded | None = None
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._changed = threading.Condition()
        self._inbox: deque[Job] = deque()
        self._cancelled: set[Job] = set()
        self._stopping = False
        # Jobs that have not begun, and all that have not ended; the second is the engine thread's own.
        self._waiting: set[Job] = set()
        self._jobs: dict[Sequence, Job] = {}
        self._events: list[tuple[Job, Event]] = []
        self.metrics = EngineMetrics(lambda: len(self._waiting), self._running, self._cache_usage)

    @property
    def ready(self) -> bool:
        """Whether the model is loaded and running."""
        return self._loaded is not None

    def start(self) -> None:
        """Begins to load the model, and then to work."""
        self._thread.start()

    def submit(self, jobs: list[Job]) -> None:
        """Queues all of `jobs`, or none. Raises ApiError (429) when the queue is full, (503) when there is no model."""
        with self._changed:
            if self._loaded is None or self._stopping:
                raise unavailable("The model is not loaded.", "model_not_ready")
            if len(self._waiting) + len(jobs) > self._most_waiting:
                raise ApiError(429, f"{len(self._waiting)} requests are waiting already: try again later.", code="queue_full")
            for job in jobs:
                job.arrived = self._clock()
                self._waiting.add(job)
                self._inbox.append(job)
            self._changed.notify()

    def cancel(self, jobs: list[Job]) -> None:
        """Ends those of `jobs` that have not ended; they get no more events than are already on their way."""
        with self._changed:
            self._cancelled.update(jobs)
            self._changed.notify()

    def stop(self) -> None:
        """Ends the thread after the step at hand, and waits for that; what has not ended fails (503)."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join()

    def load(self) -> None:
        """Loads the model."""
        loaded = self._load()
        with self._changed:
            self._loaded = loaded

    def turn(self) -> None:
        """Takes what has come in, runs one step if there is anything to compute, and posts what it brought."""
        loaded = self._require()
        with self._changed:
            inbox, self._inbox = list(self._inbox), deque()
            cancelled, self._cancelled = self._cancelled, set()
        for job in inbox:
            self._begin(job, loaded)
        for job in cancelled:
            if job.sequence in self._jobs:
                self._end(job, "abort")
        self._expire()
        step = loaded.scheduler.plan()
        self._note_admitted(loaded)
        if step is not None:
            self._advance(step, loaded)
        if self._events:
            events, self._events = self._events, []
            self._post(events)

    def _run(self) -> None:
        reason: BaseException | None = None
        try:
            with torch.inference_mode():
                self.load()
                while True:
                    with self._changed:
                        while not (self._stopping or self._inbox or self._cancelled or self._jobs):
                            self._changed.wait()
                        if self._stopping:
                            break
                    self.turn()
        except BaseException as error:
            reason = error
        with self._changed:
            self._loaded = None
            left = [*self._jobs.values(), *self._inbox]
        if reason is None:
            failure = unavailable("This worker was shut down before the answer was complete.", "shut_down")
        else:
            failure = ApiError(500, "The engine has failed: try another worker.", code="engine_failed")
        self._post([(job, failure) for job in left])
        self._on_end(reason)

    def _begin(self, job: Job, loaded: Loaded) -> None:
        request = job.request
        if isinstance(request, EmbeddingRequest):
            job.sequence = Sequence(list(request.prompt), len(request.prompt), pooled=True)
        else:
            job.answer = Answer(request, loaded.vocabulary)
            job.sequence = Sequence([*request.prompt, *request.continued], len(request.prompt) + request.max_tokens)
        self._jobs[job.sequence] = job
        loaded.scheduler.add(job.sequence)
        self.metrics.prompt_tokens.add(len(request.prompt))
        if job.answer is not None and job.answer.finish_reason is not None:
            self._events.append((job, Delta("", finish_reason=job.answer.finish_reason)))
            self._end(job, job.answer.finish_reason)

    def _expire(self) -> None:
        now = self._clock()
        for job in [job for job in self._jobs.values() if job.deadline <= now]:
            self._events.append((job, ApiError(504, "The request's time is up.", code="deadline_exceeded")))
            self._end(job, "error")

    def _note_admitted(self, loaded: Loaded) -> None:
        for sequence in loaded.scheduler.running:
            job = self._jobs[sequence]
            if job in self._waiting:
                self._waiting.discard(job)
                self.metrics.queue.observe(self._clock() - job.arrived)
                if sequence.held is not None:
                    self.metrics.cached_tokens.add(sequence.held.computed)

    def _advance(self, step: Step, loaded: Loaded) -> None:
        output = loaded.runner.run(step)
        loaded.scheduler.computed(step)
        now = self._clock()
        self._pool(step, output)
        answering = [segment.sequence for segment in step.segments if segment.last and not segment.sequence.pooled]
        likeliest = output.logits.argmax(-1).tolist()
        for sequence, logits, best in zip(answering, output.logits, likeliest, strict=True):
            self._extend(self._jobs[sequence], logits, best, now)

    def _extend(self, job: Job, logits: Tensor, likeliest: int, now: float) -> None:
        assert job.answer is not None
        assert job.sequence is not None
        delta = job.answer.next(logits, likeliest)
        job.sequence.tokens += delta.tokens
        self.metrics.generated_tokens.add()
        if job.last_token is None:
            self.metrics.first_token.observe(now - job.arrived)
        else:
            self.metrics.token(now - job.last_token)
        job.last_token = now
        self._events.append((job, delta))
        if delta.finish_reason is not None:
            self._end(job, delta.finish_reason)

    def _pool(self, step: Step, output: Output) -> None:
        pooled = [segment for segment in step.segments if segment.sequence.pooled]
        for segment, total in zip(pooled, output.pooled, strict=True):
            job = self._jobs[segment.sequence]
            job.pooled = total if job.pooled is None else job.pooled + total
            if segment.last:
                vector = torch.nn.functional.normalize(job.pooled / len(segment.sequence.tokens), dim=0)
                self._events.append((job, Embedding(vector.tolist())))
                self._end(job, "stop")

    def _end(self, job: Job, reason: str) -> None:
        loaded, sequence = self._require(), job.sequence
        assert sequence is not None
        loaded.scheduler.remove(sequence)
        del self._jobs[sequence]
        self._waiting.discard(job)
        self.metrics.finished.add(value=reason)
        self.metrics.request.observe(self._clock() - job.arrived)

    def _require(self) -> Loaded:
        assert self._loaded is not None, "load first"
        return self._loaded

    def _running(self) -> int:
        return len(self._loaded.scheduler.running) if self._loaded else 0

    def _cache_usage(self) -> float:
        ranges = self._loaded.scheduler.ranges if self._loaded else None
        return ranges.used / ranges.rows if ranges else 0.0
