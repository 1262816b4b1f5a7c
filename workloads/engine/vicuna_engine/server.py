"""The HTTP side: routes, streams, health, metrics. Nothing here computes; the event loop only passes things on."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from . import prepare, responses
from .answer import Delta
from .engine import Embedding, Engine, Event, Job, Post
from .errors import ApiError, invalid, unavailable
from .metrics import CONTENT_TYPE
from .prepare import Generations
from .responses import Head
from .served import Served

# A client's own limit for its request, in seconds.
TIMEOUT_HEADER = "X-Request-Timeout"


@dataclass(frozen=True)
class Limits:
    """What a request may take: bytes of its body, seconds to send that, seconds until its end."""

    body_bytes: int = 4 << 20
    body_seconds: float = 30.0
    request_seconds: float = 3600.0


Make = Callable[[bytes, Served], Generations]


class Server:
    """Serves what `engine` runs. `served` gives the model, None while it is being loaded."""

    def __init__(self, engine: Engine, served: Callable[[], Served | None], limits: Limits = Limits()) -> None:
        self._engine = engine
        self._served = served
        self._limits = limits
        self._thread = ThreadPoolExecutor(1, "prepare")
        self._active = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self.draining = False

    def app(self) -> web.Application:
        """The application."""
        app = web.Application(middlewares=[_errors_as_json], client_max_size=self._limits.body_bytes)
        app.router.add_get("/health", self._health)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/v1/models/{name:.+}", self._model)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/v1/completions", self._completions)
        app.router.add_post("/v1/embeddings", self._embeddings)
        return app

    async def drain(self) -> None:
        """Takes no new work; returns when all that was taken is done."""
        self.draining = True
        await self._idle.wait()

    async def _health(self, _: web.Request) -> web.Response:
        if self.draining:
            raise unavailable("This worker is shutting down.", "draining")
        self._require()
        return web.json_response({"status": "ok"})

    async def _metrics(self, _: web.Request) -> web.Response:
        served = self._served()
        text = self._engine.metrics.render({"model_name": served.names[0] if served else ""})
        return web.Response(text=text, headers={"Content-Type": CONTENT_TYPE})

    async def _models(self, _: web.Request) -> web.Response:
        return web.json_response(responses.models(self._require()))

    async def _model(self, request: web.Request) -> web.Response:
        served, name = self._require(), request.match_info["name"]
        prepare.check_model(name, served)
        return web.json_response(responses.model(served, name))

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        return await self._generate(request, prepare.chat, "chatcmpl")

    async def _completions(self, request: web.Request) -> web.StreamResponse:
        return await self._generate(request, prepare.completion, "cmpl")

    async def _generate(self, request: web.Request, make: Make, prefix: str) -> web.StreamResponse:
        async with _Work(self) as work:
            wanted = await self._prepare(request, make)
            work.begin(wanted.requests, self._deadline(request))
            head = Head(f"{prefix}-{secrets.token_hex(12)}", int(time.time()), wanted.model)
            return await (self._stream(request, wanted, head, work) if wanted.stream else self._whole(wanted, head, work))

    async def _embeddings(self, request: web.Request) -> web.Response:
        async with _Work(self) as work:
            wanted = await self._prepare(request, prepare.embeddings)
            work.begin(wanted.requests, self._deadline(request))
            vectors: list[list[float]] = [[]] * len(wanted.requests)
            while work.open:
                for index, event in await work.events():
                    assert isinstance(event, Embedding)
                    vectors[index] = event.vector
            tokens = sum(len(r.prompt) for r in wanted.requests)
            return web.json_response(responses.embeddings(wanted.model, vectors, wanted.as_base64, tokens))

    async def _whole(self, wanted: Generations, head: Head, work: _Work) -> web.Response:
        parts: list[list[Delta]] = [[] for _ in wanted.requests]
        while work.open:
            for index, event in await work.events():
                assert isinstance(event, Delta)
                parts[index].append(event)
        choices = [_joined(deltas) for deltas in parts]
        body = wanted.shape.whole(head, choices, [request.prompt for request in wanted.requests])
        return web.json_response(body | {"usage": _usage(wanted, sum(len(c.tokens) for c in choices))}, dumps=_dumps)

    async def _stream(self, request: web.Request, wanted: Generations, head: Head, work: _Work) -> web.StreamResponse:
        # The first events come before the status: until then a failure can still be told by one.
        arrived = await work.events()
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache"})
        await response.prepare(request)
        begun: set[int] = set()
        count = 0
        try:
            while True:
                chunks = []
                for index, delta in arrived:
                    assert isinstance(delta, Delta)
                    count += len(delta.tokens)
                    first = index not in begun
                    if _says_nothing(delta, first, wanted):
                        continue
                    begun.add(index)
                    chunk = wanted.shape.chunk(head, index, delta, first, wanted.requests[index].prompt)
                    chunks.append(responses.event(chunk | ({"usage": None} if wanted.includes_usage else {})))
                if chunks:
                    await response.write(b"".join(chunks))
                if not work.open:
                    break
                arrived = await work.events()
            last = responses.usage_chunk(wanted.shape, head, _usage(wanted, count))
            await response.write((responses.event(last) if wanted.includes_usage else b"") + responses.DONE)
        except ApiError as error:
            await response.write(responses.error_event(error))
        except ConnectionResetError:
            # The client is gone, which is no fault of ours; leaving the work ends its answer.
            pass
        return response

    async def _prepare(self, request: web.Request, make: Callable[[bytes, Served], Any]) -> Any:
        served = self._require()
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                body = await request.read()
        except TimeoutError:
            raise ApiError(408, f"The body did not come within {self._limits.body_seconds:g} s.", code="body_timeout") from None
        return await asyncio.get_running_loop().run_in_executor(self._thread, make, body, served)

    def _require(self) -> Served:
        served = self._served()
        if served is None or not self._engine.ready:
            raise unavailable("The model is not loaded.", "model_not_ready")
        return served

    def _deadline(self, request: web.Request) -> float:
        seconds = self._limits.request_seconds
        if (text := request.headers.get(TIMEOUT_HEADER)) is not None:
            try:
                wanted = float(text)
            except ValueError:
                wanted = 0.0
            if not wanted > 0:
                raise invalid(f"{TIMEOUT_HEADER} must be a positive number of seconds.", TIMEOUT_HEADER)
            seconds = min(seconds, wanted)
        return time.monotonic() + seconds


class _Work:
    """A request's jobs while it is being answered. However it ends, none of them goes on after it."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._jobs: list[Job] = []
        self._arrived: asyncio.Queue[tuple[int, Event]] = asyncio.Queue()
        self.open = 0
        """Jobs whose end has not been seen."""

    async def __aenter__(self) -> _Work:
        if self._server.draining:
            raise unavailable("This worker is shutting down: send the request to another.", "draining")
        self._server._active += 1
        self._server._idle.clear()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.open:
            self._server._engine.cancel(self._jobs)
        self._server._active -= 1
        if self._server._active == 0:
            self._server._idle.set()

    def begin(self, requests: list[Any], deadline: float) -> None:
        """Queues a job for each request. Raises ApiError (429, 503)."""
        self._jobs = [Job(request, self._receiver(index), deadline) for index, request in enumerate(requests)]
        self._server._engine.submit(self._jobs)
        self.open = len(self._jobs)

    async def events(self) -> list[tuple[int, Event]]:
        """What has come since the last call, at least one event, each with its job's number. Raises ApiError for a failed job."""
        arrived = [await self._arrived.get()]
        while not self._arrived.empty():
            arrived.append(self._arrived.get_nowait())
        for _, event in arrived:
            if isinstance(event, ApiError):
                raise event
            self.open -= isinstance(event, Embedding) or event.finish_reason is not None
        return arrived

    def _receiver(self, index: int) -> Callable[[Event], None]:
        return lambda event: self._arrived.put_nowait((index, event))


def poster(loop: asyncio.AbstractEventLoop) -> Post:
    """What hands the engine's events to `loop`."""

    def deliver(events: list[tuple[Job, Event]]) -> None:
        for job, event in events:
            job.receive(event)

    def post(events: list[tuple[Job, Event]]) -> None:
        loop.call_soon_threadsafe(deliver, events)

    return post


@web.middleware
async def _errors_as_json(request: web.Request, handler: Callable[[web.Request], Any]) -> web.StreamResponse:
    try:
        return await handler(request)
    except ApiError as error:
        return web.json_response(error.body, status=error.status, headers=error.headers)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        refusal = ApiError(error.status, f"{request.method} {request.path}: {error.reason}.")
        headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
        return web.json_response(refusal.body, status=error.status, headers=headers)


def _joined(deltas: list[Delta]) -> Delta:
    return Delta(
        "".join(delta.text for delta in deltas),
        tuple(token for delta in deltas for token in delta.tokens),
        tuple(logprob for delta in deltas for logprob in delta.logprobs),
        deltas[-1].finish_reason,
    )


def _says_nothing(delta: Delta, first: bool, wanted: Generations) -> bool:
    """Whether a chunk for `delta` would tell the client nothing: its text is held back."""
    tells = delta.text or delta.finish_reason or delta.logprobs or wanted.shape.returns_tokens
    return not (tells or first)


def _usage(wanted: Generations, generated: int) -> dict[str, int]:
    """The answer's tokens include those it was continued from: whoever continues it counts them once."""
    return responses.usage(wanted.prompt_tokens, generated + sum(len(r.continued) for r in wanted.requests))


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
