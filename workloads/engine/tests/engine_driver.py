"""An engine without its thread: the test says when it takes a turn, and sees what every turn brings."""

from __future__ import annotations

from dataclasses import dataclass, field

from vicuna_engine.answer import Delta, GenerationRequest
from vicuna_engine.engine import Engine, Job
from vicuna_engine.errors import ApiError
from vicuna_engine.sampling import Sampling

GREEDY = Sampling(temperature=0.0)


@dataclass
class Collected:
    """A job's events so far."""

    events: list = field(default_factory=list)

    @property
    def deltas(self):
        return [event for event in self.events if isinstance(event, Delta)]

    @property
    def tokens(self):
        return [token for delta in self.deltas for token in delta.tokens]

    @property
    def text(self):
        return "".join(delta.text for delta in self.deltas)

    @property
    def logprobs(self):
        return [logprob for delta in self.deltas for logprob in delta.logprobs]

    @property
    def finish_reason(self):
        return self.deltas[-1].finish_reason if self.deltas else None

    @property
    def error(self):
        return next((event for event in self.events if isinstance(event, ApiError)), None)


class Driver:
    """`clock` is the engine's time, which only the test moves."""

    def __init__(self, load, most_waiting=64):
        self.clock = 0.0
        self.served, loaded = load()
        self.engine = Engine(lambda: loaded, self._post, most_waiting, clock=lambda: self.clock)
        self.engine.load()
        self.scheduler = loaded.scheduler
        self.runner = loaded.runner

    def submit(self, request, **more):
        """(the job, what becomes of it)."""
        collected = Collected()
        job = Job(request, collected.events.append, **more)
        self.engine.submit([job])
        return job, collected

    def finish(self):
        """Turns until nothing is left to do."""
        self.engine.turn()
        while self.scheduler.running or self.scheduler.waiting:
            self.engine.turn()

    def answer(self, request):
        """What becomes of one request that is alone."""
        _, collected = self.submit(request)
        self.finish()
        return collected

    def answers(self, requests):
        """What becomes of requests that come at the same time."""
        collected = [self.submit(request)[1] for request in requests]
        self.finish()
        return collected

    @staticmethod
    def _post(events):
        for job, event in events:
            job.receive(event)


def wanted(prompt, max_tokens=24, sampling=GREEDY, **more):
    """A request that tells the log-probabilities: equal ones mean equal logits, to the last bit."""
    return GenerationRequest(tuple(prompt), max_tokens, sampling, top_logprobs=more.pop("top_logprobs", 3), **more)
