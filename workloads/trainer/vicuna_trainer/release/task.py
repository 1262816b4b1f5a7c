"""The release as a task pod: what it is told (VICUNA_TASK), how it tells its progress, and what it leaves as its result.

    VICUNA_TASK = {"name": "namespace/pod", "operatorUrl": "http://…", "tokenFile": "…", "config": {
        "base": URI, "target": URI, "output": URI, "mode": "exact" | "additive", "vocabulary": "same" | "extend"}}

`vocabulary` may be left out. The result is `ReleaseResult` as JSON.
"""

from __future__ import annotations

import json
import os
import threading
import time
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from ..exits import BAD_CONFIGURATION, TrainingError

MODES = ("exact", "additive")
VOCABULARIES = ("same", "extend")
RESULT_BYTES = 4_000
REPORT_SECONDS = 5.0
REPORT_TIMEOUT_SECONDS = 2.0
DEFAULT_RESULT_FILE = "/dev/termination-log"


@dataclass(frozen=True)
class ReleaseConfig:
    """What to release. URIs are directories in Hugging Face's form, as s3://, file:// or (for reading) hf://.

    `mode`: "exact" restores the target bit for bit; "additive" is FastChat's form, a difference of 16-bit floats.
    `vocabulary`: "extend" lets the target's embeddings have more rows than the base's; the new rows are published whole.
    """

    base: str
    target: str
    output: str
    mode: str = "exact"
    vocabulary: str = "same"

    @staticmethod
    def parse(value: Any) -> ReleaseConfig:
        """Reads `config` of VICUNA_TASK. Raises TrainingError (64) that names the field at fault."""
        if not isinstance(value, dict):
            raise _bad("config", "is missing")
        unknown = sorted(set(value) - set(ReleaseConfig.__dataclass_fields__))
        if unknown:
            raise _bad(f"config.{unknown[0]}", "is not known")
        for name in ("base", "target", "output"):
            if not isinstance(value.get(name), str) or not value[name]:
                raise _bad(f"config.{name}", "is missing")
        config = ReleaseConfig(**value)
        if config.mode not in MODES:
            raise _bad("config.mode", f"is {config.mode!r}, but must be one of {', '.join(MODES)}")
        if config.vocabulary not in VOCABULARIES:
            raise _bad("config.vocabulary", f"is {config.vocabulary!r}, but must be one of {', '.join(VOCABULARIES)}")
        return config


@dataclass(frozen=True)
class ReleaseResult:
    """What was released; `bytes` and `files` are the delta's weights, `manifest_sha256` identifies the whole release."""

    output: str
    mode: str
    tensors: int
    parameters: int
    bytes: int
    files: int
    kept_files: int
    changed_elements: int
    inexact_elements: int
    manifest_sha256: str
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Keys in the API's spelling."""
        return {camel(name): value for name, value in asdict(self).items()}


@dataclass(frozen=True)
class Task:
    """A task pod's own part of VICUNA_TASK."""

    name: str
    operator_url: str | None
    token_file: str | None
    config: Any

    @staticmethod
    def from_environment(env: Mapping[str, str] = os.environ) -> Task | None:
        """The task of this process, or None where it is a command line. Raises TrainingError (64)."""
        text = env.get("VICUNA_TASK")
        if not text:
            return None
        try:
            value = json.loads(text)
        except ValueError as error:
            raise _bad("VICUNA_TASK", f"is not JSON ({error})") from None
        if not isinstance(value, dict) or not isinstance(value.get("name"), str):
            raise _bad("VICUNA_TASK", "must be an object with name and config")
        return Task(value["name"], value.get("operatorUrl"), value.get("tokenFile"), value.get("config"))


class TaskReporter:
    """Tells the operator how far the task is, at most every 5 s, from a thread of its own: nothing waits for it."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._next = 0.0
        self._sending: threading.Thread | None = None

    def report(self, stage: str, done: int, total: int | None, unit: str, eta_seconds: float | None) -> None:
        """Sends it where it is time; whether it arrives does not matter."""
        busy = self._sending is not None and self._sending.is_alive()
        if self._task.operator_url is None or busy or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + REPORT_SECONDS
        eta = None if eta_seconds is None else round(eta_seconds)
        body = {"stage": stage, "done": done, "total": total, "unit": unit, "etaSeconds": eta}
        self._sending = threading.Thread(target=self._send, args=(body,), daemon=True)
        self._sending.start()

    def _send(self, body: dict[str, Any]) -> None:
        with suppress(OSError, ValueError):
            token = ""
            if self._task.token_file is not None:
                with open(self._task.token_file, encoding="ascii") as file:
                    token = file.read().strip()
            request = urllib.request.Request(
                f"{self._task.operator_url}/v1/tasks/{self._task.name}/report",
                data=json.dumps(body).encode(),
                headers={"Content-Type": "application/json", "Authorization": f"Bearer {token}"},
            )
            with urllib.request.urlopen(request, timeout=REPORT_TIMEOUT_SECONDS):
                pass


def leave_result(text: str, env: Mapping[str, str] = os.environ) -> None:
    """Writes the result, or the sentence that says why there is none, where the kubelet picks it up."""
    with suppress(OSError), open(env.get("VICUNA_TERMINATION_LOG") or DEFAULT_RESULT_FILE, "wb") as file:
        file.write(text.encode()[:RESULT_BYTES])


def camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _bad(field: str, what: str) -> TrainingError:
    return TrainingError(BAD_CONFIGURATION, f"The release cannot be made: {field} {what}. Correct spec.release.")
