"""Starts supervisors as the operator's pods would run them, on loopback."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from .fake_operator import TOKEN, TRAINING, FakeOperator

PACKAGE_ROOT = Path(__file__).resolve().parents[1]
RECIPE = {
    "learningRate": 1e-3,
    "epochs": 2,
    "contextLength": 256,
    "globalBatchTokens": 1024,
    "microBatchSize": 2,
    "warmupRatio": 0.1,
    "weightDecay": 0.0,
    "schedule": "cosine",
    "seed": 7,
    "precision": "fp32",
    "activationCheckpointing": False,
    "attention": "sdpa",
}


class Gang:
    """Pods by name; `storage` is where they save."""

    def __init__(self, operator: FakeOperator, tiny: Path, directory: Path) -> None:
        self.operator = operator
        self.directory = directory
        self.storage = directory / "storage"
        self.storage_uri = f"file://{self.storage}"
        self.pods: dict[str, subprocess.Popen] = {}
        self.env: dict[str, str] = {}
        self.recipe = dict(RECIPE)
        self.keep = 3
        self.model = f"file://{tiny / 'model'}"
        self.dataset = f"file://{tiny / 'data.jsonl'}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for name in list(self.pods):
            self.kill(name)

    def config(self) -> str:
        return json.dumps(
            {
                "model": {"base": self.model},
                "dataset": {"uri": self.dataset},
                "checkpoint": {"storage": self.storage_uri, "keep": self.keep},
                "recipe": self.recipe,
            }
        )

    def start(self, *names: str, processes: int = 1, command: list[str] | None = None) -> None:
        """Starts the pods' supervisors."""
        for name in names:
            token = self.directory / f"{name}.token"
            token.write_text(f"{TOKEN}.{name}\n")
            worker = {
                "VICUNA_TRAINING": TRAINING,
                "VICUNA_OPERATOR_URL": self.operator.url,
                "VICUNA_TOKEN_FILE": str(token),
                "VICUNA_POD_NAME": name,
                "VICUNA_PROCESSES": str(processes),
                "VICUNA_CONFIG": self.config(),
                **({"VICUNA_COMMAND": json.dumps(command)} if command is not None else {}),
            }
            env = {
                "PATH": os.environ["PATH"],
                "PYTHONPATH": os.pathsep.join([str(PACKAGE_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
                "PYTHONDONTWRITEBYTECODE": "1",
                "HOME": str(self.directory),
                "TMPDIR": str(self.directory),
                "VICUNA_WORKER_CACHE": str(self.directory / f"cache-{name}"),
                "VICUNA_WORKER": json.dumps(worker),
                **self.env,
            }
            with open(self.directory / f"{name}.log", "ab") as log:
                self.pods[name] = subprocess.Popen(
                    [sys.executable, "-m", "vicuna_trainer.supervisor"], env=env, stdout=log, stderr=log
                )

    def kill(self, name: str) -> None:
        """The pod's node dies: supervisor and all its processes at once."""
        pod = self.pods.pop(name)
        with contextlib.suppress(ProcessLookupError):
            for child in [pod.pid, *descendants(pod.pid)]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
        pod.wait(10)

    def terminate(self, name: str) -> None:
        """SIGTERM, as the kubelet sends it."""
        self.pods[name].send_signal(signal.SIGTERM)

    def exit_code(self, name: str, timeout: float = 60.0) -> int:
        """Waits for the pod's end."""
        return self.pods[name].wait(timeout)

    def log(self, name: str) -> str:
        return (self.directory / f"{name}.log").read_text()

    def trainers(self, name: str) -> list[int]:
        """Pids of the pod's training processes: its children that lead a session of their own."""
        return [pid for pid in descendants(self.pods[name].pid) if os.getsid(pid) == pid]


def descendants(pid: int) -> list[int]:
    """All processes below `pid`."""
    found, queue = [], [pid]
    while queue:
        parent = queue.pop()
        with contextlib.suppress(OSError):
            for task in os.listdir(f"/proc/{parent}/task"):
                children = Path(f"/proc/{parent}/task/{task}/children").read_text().split()
                found += [int(child) for child in children]
                queue += [int(child) for child in children]
    return found


def eventually(condition, timeout: float = 30.0):
    """Waits for a condition that nothing announces; its value."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < deadline, "did not happen"
        time.sleep(0.02)
    return value
