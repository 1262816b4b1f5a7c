"""Runs training processes without a supervisor: forked from one warm process, so that a world starts in half a second."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from pathlib import Path

from vicuna_trainer.processes import Processes, thread_settings

from .gang import PACKAGE_ROOT, RECIPE


class Ranks:
    """One training's processes, generation after generation, in the supervisor's place."""

    def __init__(self, processes: Processes, tiny: Path, directory: Path) -> None:
        self._processes = processes
        self.directory = directory
        self.storage = directory / "storage"
        self.storage_uri = f"file://{self.storage}"
        self.recipe = dict(RECIPE)
        self.keep = 3
        self.owner = "first"
        self.model = f"file://{tiny / 'model'}"
        self.dataset = f"file://{tiny / 'data.jsonl'}"
        self.validation: dict | None = None
        self.env: dict[str, str] = {}
        self.generation = 0
        self.session = directory / "session"
        self.session.mkdir()
        self.acknowledged: str | None = None
        self.interval: dict[str, int] = {"steps": 1_000_000}
        self.said: list[dict] = []
        self.ended: dict[int, tuple[int, str]] = {}
        self._changed = threading.Condition()
        self._inbox = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._inbox.bind(str(self.session / "socket"))
        threading.Thread(target=self._listen, daemon=True).start()

    def start(self, world_size: int, resume: dict | None = None, interval: dict | None = None) -> None:
        """Ends what runs and starts the next generation."""
        self.end()
        self.generation += 1
        self.interval = interval or self.interval
        self.direct("run")
        config = {
            "model": {"base": self.model},
            "dataset": {"uri": self.dataset, **({} if self.validation is None else {"validation": self.validation})},
            "checkpoint": {"storage": self.storage_uri, "keep": self.keep, "owner": self.owner},
            "recipe": self.recipe,
        }
        env = {
            **{name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ},
            "VICUNA_WORKER_CACHE": str(self.directory / "cache"),
            "VICUNA_CONFIG": json.dumps(config),
            "VICUNA_SESSION": str(self.session),
            "VICUNA_GENERATION": str(self.generation),
            "VICUNA_RESUME_URI": resume["uri"] if resume else "",
            "VICUNA_RESUME_STEP": str(resume["step"] if resume else 0),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(free_port()),
            "WORLD_SIZE": str(world_size),
            "GLOO_SOCKET_IFNAME": "lo",
            **self.env,
        }
        ranks = [{**thread_settings(env), "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(world_size)]
        self._processes.start(ranks)

    def direct(self, order: str) -> None:
        """Tells all processes what to do."""
        directive = {
            "revision": f"{self.generation}.{order}.{time.monotonic_ns()}",
            "order": order,
            "deadline": None,
            "interval": self.interval,
            "acknowledged": self.acknowledged,
        }
        (self.session / "new").write_text(json.dumps(directive))
        os.replace(self.session / "new", self.session / "directive.json")

    def kill(self, *ranks: int) -> None:
        """SIGKILL to some, or to all where none is named."""
        for process in list(self._processes.running.values()):
            if not ranks or process.local_rank in ranks:
                os.kill(process.pid, signal.SIGKILL)

    def end(self) -> None:
        """Ends all processes at once."""
        self._processes.kill()
        self._processes.reap()
        self.ended = {}

    def wait_end(self, timeout: float = 60.0) -> list[int]:
        """Waits until all processes have ended by themselves; their exit codes by rank."""
        deadline = time.monotonic() + timeout
        while self._processes.running:
            for process in self._processes.reap():
                self.ended[process.local_rank] = (process.exit_code, process.tail.text())
            assert time.monotonic() < deadline, f"still running; ended so far: {self.ended}"
            time.sleep(0.01)
        return [self.ended[rank][0] for rank in sorted(self.ended)]

    def wait(self, condition, timeout: float = 60.0):
        """Waits for a datagram of this generation that satisfies the condition; the datagram."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                for said in reversed(self.said):
                    if said["generation"] == self.generation and condition(said):
                        return said
                rest = deadline - time.monotonic()
                for process in self._processes.reap():
                    self.ended[process.local_rank] = (process.exit_code, process.tail.text())
                failed = {rank: end for rank, end in self.ended.items() if end[0] not in (0, -9)}
                assert rest > 0 and not failed, f"not said; ended: {self.ended}, last: {self.said[-2:]}"
                self._changed.wait(min(rest, 0.05))

    def wait_step(self, step: int, timeout: float = 60.0) -> dict:
        """Waits until rank 0 has done that step."""
        return self.wait(lambda said: said["localRank"] == 0 and said["state"] != "starting" and said["step"] >= step, timeout)

    @property
    def step(self) -> int:
        """The last step anyone spoke of."""
        with self._changed:
            return max((s["step"] for s in self.said if s["generation"] == self.generation), default=0)

    def checkpoint(self) -> dict | None:
        """The newest checkpoint anyone reported."""
        with self._changed:
            found = [said["checkpoint"] for said in self.said if "checkpoint" in said]
        return max(found, key=lambda c: (c["generation"], c["step"]), default=None)

    def losses(self) -> dict[int, float]:
        """Loss by step, as rank 0 said it last."""
        with self._changed:
            return {s["step"]: s["loss"] for s in self.said if s["localRank"] == 0 and s.get("loss") is not None}

    def close(self) -> None:
        """Ends everything."""
        self.end()
        self._inbox.close()

    def _listen(self) -> None:
        while True:
            try:
                said = json.loads(self._inbox.recv(1 << 17))
            except OSError:
                return
            with self._changed:
                self.said.append(said)
                self._changed.notify_all()


def warm_processes() -> Processes:
    """Processes whose warm process is being started."""
    os.environ["PYTHONPATH"] = os.pathsep.join([str(PACKAGE_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    processes = Processes(None)
    processes.prepare()
    return processes


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
