"""A task pod's contract with the operator: VICUNA_TASK, the message of its end, its exit codes.

| code | meaning                                             |
| ---- | --------------------------------------------------- |
| 0    | done; the message is the result                     |
| 1    | anything that is not below                          |
| 64   | the configuration cannot work                       |
| 66   | an input is missing or damaged                      |
| 74   | the storage failed                                  |
| 143  | ended by SIGTERM; what is finished is taken up again |
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from vicuna_trainer.exits import BAD_CONFIGURATION, ERROR, STORAGE_FAILED, TERMINATED, TrainingError

from .progress import Reporter, State

MESSAGE_BYTES = 4000


@dataclass(frozen=True)
class Task:
    """What the operator asks of this pod; `name` is namespace/pod."""

    name: str
    operator_url: str | None
    token_file: str
    config: Any

    @staticmethod
    def from_environment(env: Mapping[str, str] = os.environ) -> Task | None:
        """The task in VICUNA_TASK, None without. Raises TrainingError (64)."""
        text = env.get("VICUNA_TASK")
        if not text:
            return None
        try:
            value = json.loads(text)
            name, url, token_file = value["name"], value.get("operatorUrl"), value.get("tokenFile", "")
            if not isinstance(name, str) or name.count("/") != 1 or not isinstance(token_file, str):
                raise ValueError("name must be namespace/pod")
            return Task(name, url, token_file, value["config"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise TrainingError(BAD_CONFIGURATION, f"VICUNA_TASK cannot be used ({error!r}).") from None

    def reporter(self) -> Callable[[State], None]:
        """Takes the states that the operator shall know."""
        if not self.operator_url:
            return lambda _: None
        return Reporter(f"{self.operator_url.rstrip('/')}/v1/tasks/{self.name}/report", self.token_file)


def run_to_the_end(work: Callable[[], dict[str, Any] | None]) -> int:
    """Runs the program, tells why it ended, and returns its exit code. `work` returns the result, or None where there is none."""
    signal.signal(signal.SIGTERM, _on_sigterm)
    try:
        result = work()
    except TrainingError as error:
        return _failed(error.exit_code, str(error))
    except OSError as error:
        return _failed(STORAGE_FAILED, f"The storage failed ({error}). What is finished is kept: start again once it works.")
    except Exception as error:
        import traceback

        traceback.print_exc()
        return _failed(ERROR, f"{type(error).__name__}: {error}")
    if result is not None:
        _leave_message(json.dumps(result))
    return 0


def _failed(code: int, sentence: str) -> int:
    print(sentence, file=sys.stderr)
    _leave_message(sentence)
    return code


def _leave_message(text: str) -> None:
    path = os.environ.get("VICUNA_TERMINATION_LOG")
    # The kubelet makes its own; elsewhere there is nobody to read it.
    mode = "wb" if path else "rb+"
    with contextlib.suppress(OSError), open(path or "/dev/termination-log", mode) as file:
        file.write(text.encode()[:MESSAGE_BYTES])


def _on_sigterm(*_: object) -> None:
    # Every file is written whole or not at all, so any moment is a good one.
    _leave_message("Ended by SIGTERM. What is finished is kept and will be taken up again.")
    os._exit(TERMINATED)
