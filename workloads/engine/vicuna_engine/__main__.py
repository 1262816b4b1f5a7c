"""Starts the worker: `python3 -m vicuna_engine --model URI`.

SIGTERM ends it gently: no new work, running answers finish within --shutdown-timeout, exit code 0. A second SIGTERM, or the
timeout, cuts them off: exit code 143. A model that cannot be served ends it with the codes of `vicuna_trainer.exits`.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import traceback

from aiohttp import web
from vicuna_trainer.exits import ERROR, TERMINATED, TrainingError

from . import settings as command_line
from .engine import Engine, Loaded
from .served import Served
from .server import Limits, Server, poster
from .settings import Settings

# After answers have been cut off, their clients' connections get this long to take the news.
CUT_OFF_SECONDS = 1.0


def main() -> int:
    """Command line; the exit code."""
    return asyncio.run(_serve(command_line.parse()))


async def _serve(settings: Settings) -> int:
    loop = asyncio.get_running_loop()
    served: list[Served] = []
    ended: asyncio.Future[BaseException | None] = loop.create_future()
    terminations: asyncio.Queue[None] = asyncio.Queue()

    def load() -> Loaded:
        from .load import load as load_model

        model, loaded = load_model(settings, _log)
        served.append(model)
        return loaded

    def on_end(reason: BaseException | None) -> None:
        loop.call_soon_threadsafe(lambda: ended.done() or ended.set_result(reason))

    engine = Engine(load, poster(loop), settings.max_waiting, on_end)
    server = Server(engine, lambda: served[0] if served else None, Limits(request_seconds=settings.request_timeout))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, terminations.put_nowait, None)
    runner = web.AppRunner(server.app(), handler_cancellation=True, access_log=None, shutdown_timeout=CUT_OFF_SECONDS)
    await runner.setup()
    site = web.TCPSite(runner, settings.host, settings.port)
    await site.start()
    _log(f"Listening on {settings.host}:{runner.addresses[0][1]}.")
    engine.start()
    try:
        return await _until_the_end(server, ended, terminations, settings.shutdown_timeout)
    finally:
        await asyncio.to_thread(engine.stop)
        await runner.cleanup()


async def _until_the_end(
    server: Server, ended: asyncio.Future[BaseException | None], terminations: asyncio.Queue[None], seconds: float
) -> int:
    first = asyncio.create_task(terminations.get())
    await asyncio.wait((ended, first), return_when=asyncio.FIRST_COMPLETED)
    if ended.done():
        reason = ended.result()
        _log(str(reason) if isinstance(reason, (TrainingError, OSError)) else "".join(traceback.format_exception(reason)))
        return reason.exit_code if isinstance(reason, TrainingError) else ERROR
    _log(f"Told to end: running answers have {seconds:g} s to finish.")
    drained, second = asyncio.create_task(server.drain()), asyncio.create_task(terminations.get())
    await asyncio.wait((drained, second, ended), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    if drained.done():
        _log("All answers are finished.")
        return 0
    _log("Answers are cut off.")
    return TERMINATED


def _log(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
