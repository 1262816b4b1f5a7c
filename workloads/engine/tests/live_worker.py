"""A whole worker in this process: the engine's thread, and the HTTP side in an event loop of its own."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
import time

from aiohttp import web
from vicuna_engine.engine import Engine
from vicuna_engine.server import Limits, Server, poster

WAIT_SECONDS = 30


class Gate:
    """Lets the model's steps pass, or holds them up."""

    def __init__(self, run):
        self._run = run
        self._open = threading.Event()
        self._open.set()
        self.close = self._open.clear
        self.open = self._open.set

    def __call__(self, step):
        assert self._open.wait(WAIT_SECONDS)
        return self._run(step)


class LiveWorker:
    """`gate` holds up the model; `engine` and `server` are what runs."""

    def __init__(self, load, most_waiting=64, limits=None, fails=None):
        self._load = load
        self._fails = fails
        self._served = None
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self.gate = None
        self.engine = Engine(self._loaded, poster(self._loop), most_waiting)
        self._call(self._start(limits or Limits()))
        self.engine.start()

    def ready(self):
        """Waits for the model."""
        wait_for(lambda: self.engine.ready)
        return self

    def request(self, method, path, body=None, headers=None):
        """(status, headers, body); JSON bodies come parsed."""
        connection = self.connection()
        try:
            connection.request(
                method, path, body if isinstance(body, (bytes, str, type(None))) else json.dumps(body), headers or {}
            )
            response = connection.getresponse()
            content = response.read()
        finally:
            connection.close()
        is_json = response.headers.get_content_type() == "application/json"
        return response.status, response.headers, json.loads(content) if is_json else content.decode()

    def post(self, path, _headers=None, **body):
        """The answer to a request for the model `vicuna`."""
        return self.request("POST", path, {"model": "vicuna", **body}, _headers)

    def chat(self, question, **body):
        """The answer to a question."""
        return self.post("/v1/chat/completions", messages=[{"role": "user", "content": question}], **body)

    def stream(self, path, **body):
        """An open stream: its connection, and its events as they come."""
        connection = self.connection()
        connection.request("POST", path, json.dumps({"model": "vicuna", "stream": True, **body}))
        response = connection.getresponse()
        assert response.status == 200, response.read()
        assert response.headers.get_content_type() == "text/event-stream"
        return connection, events_of(response)

    def metric(self, name, **labels):
        """A sample's value."""
        text = self.request("GET", "/metrics")[2]
        wanted = "".join(f',{key}="{value}"' for key, value in labels.items())
        line = next(line for line in text.splitlines() if line.startswith(f'{name}{{model_name="vicuna"{wanted}}}'))
        return float(line.rpartition(" ")[2])

    def connection(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_SECONDS)

    def drain(self):
        """Begins to drain; the future is done when everything else is."""
        return asyncio.run_coroutine_threadsafe(self.server.drain(), self._loop)

    def close(self):
        if self.gate is not None:
            self.gate.open()
        self.engine.stop()
        self._call(self._runner.cleanup())
        self._loop.call_soon_threadsafe(self._loop.stop)

    def _loaded(self):
        if self._fails is not None:
            raise self._fails
        self._served, loaded = self._load()
        self.gate = loaded.runner.run = Gate(loaded.runner.run)
        return loaded

    async def _start(self, limits):
        self.server = Server(self.engine, lambda: self._served, limits)
        self._runner = web.AppRunner(self.server.app(), handler_cancellation=True, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]

    def _call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(WAIT_SECONDS)


def events_of(response):
    """The values of a stream's events; the last is "[DONE]" where it was complete."""
    while line := response.readline():
        if line.startswith(b"data: "):
            text = line.removeprefix(b"data: ").strip().decode()
            yield text if text == "[DONE]" else json.loads(text)


def wait_for(condition):
    """Waits until `condition` holds."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.002)
