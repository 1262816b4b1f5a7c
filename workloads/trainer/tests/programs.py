"""Training programs of a user's own, without torch: `python programs.py NAME`. Run by the supervisor through workers.command."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

from vicuna_trainer import session


def directory():
    return Path(json.loads(os.environ["VICUNA_CONFIG"])["checkpoint"]["storage"].removeprefix("file://"))


def polite(total=1_000_000, pause=0.01):
    """The five lines of the session's documentation."""
    for step in range(session.resume_step() + 1, total + 1):
        time.sleep(pause)
        session.report(step, 1.0 / step, total_steps=total)
        if session.should_save():
            target = directory() / f"step-{step:08d}-g{os.environ['VICUNA_GENERATION']}"
            if os.environ["RANK"] == "0":
                target.mkdir(parents=True)
                (target / "state").write_text(str(step))
            session.saved(str(target), step)
        if session.should_stop():
            break


def short():
    polite(total=5)


def unaware():
    """Knows nothing of the session, but saves on SIGTERM like many."""

    def save(*_):
        directory().mkdir(parents=True, exist_ok=True)
        (directory() / f"saved-{os.environ['RANK']}").write_text("x")
        sys.exit(0)

    signal.signal(signal.SIGTERM, save)
    print("ready", file=sys.stderr, flush=True)
    while True:
        time.sleep(1)


def environment():
    """Writes down what it was started with."""
    directory().mkdir(parents=True, exist_ok=True)
    (directory() / f"env-{os.environ['RANK']}").write_text(json.dumps(dict(os.environ)))


def broken():
    print("x" * 5000, file=sys.stderr)
    print("ValueError: the last line says why", file=sys.stderr)
    sys.exit(3)


if __name__ == "__main__":
    globals()[sys.argv[1]]()
