"""First process of a worker pod: asks the operator what to do, has it done by the training processes, and reports.

Needs nothing but the standard library: it must answer within a fraction of a second of the pod's start, and keep answering
whatever becomes of training. It never decides on steps or checkpoints; the training processes do, together (session.py).

Ends with exit code 0 when training is complete, 143 after SIGTERM. A failed training does not end it: it waits for the
operator's next world.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import selectors
import shutil
import signal
import socket
import struct
import sys
import tempfile
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

from . import exits
from .operator_client import OperatorClient
from .processes import Process, Processes, thread_settings
from .reporter import Poller, Reporter
from .session import DIRECTIVE_FILE, SOCKET_FILE
from .watcher import CheckpointWatcher
from .world import Member, World

SIOCGIFADDR = 0x8915
FIRST_PORT = 29500
# How long the supervisor stays to have its last word acknowledged.
GOODBYE_SECONDS = 30.0
TERMINATED_GOODBYE_SECONDS = 3.0
REPORT_FIELDS = ("step", "totalSteps", "epoch", "loss", "tokensPerSecond", "stepSeconds", "resumedStep", "validation", "message")
MESSAGE_CHARACTERS = 2000
# A program of the user's own that has not spoken by then probably never will: it is taken to be training.
SILENT_SECONDS = 10.0


class Supervisor:
    """State machine of one worker pod; everything happens in `run`'s thread."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = dict(env)
        self._pod = env["VICUNA_POD_NAME"]
        self._process_count = int(env.get("VICUNA_PROCESSES", "1"))
        command = json.loads(env["VICUNA_COMMAND"]) if env.get("VICUNA_COMMAND") else None
        self._is_own_trainer = command is None
        self._processes = Processes(command)
        self._watcher = self._watch_for_checkpoints()
        self._started_at = 0.0
        self._session = tempfile.mkdtemp(prefix="vicuna-session-")
        self._inbox = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._inbox.bind(os.path.join(self._session, SOCKET_FILE))
        self._inbox.setblocking(False)
        self._events: deque[tuple[Any, ...]] = deque()
        self._wake_read, self._wake_write = socket.socketpair()
        self._wake_read.setblocking(False)
        self._wake_write.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._wake_read, selectors.EVENT_READ)
        self._selector.register(self._inbox, selectors.EVENT_READ)

        self._world: World | None = None
        self._member: Member | None = None
        self._generation = 0
        self._state = "starting"
        self._said: dict[str, Any] = {}  # local rank 0's last datagram of this generation
        self._heard: set[int] = set()  # local ranks that speak the session protocol
        self._exit: tuple[int, str] | None = None
        self._checkpoint: dict[str, Any] | None = None
        self._acknowledged: str | None = None
        self._is_ready = False
        self._terminating = False
        self._signalled_stop = False
        self._leave_code: int | None = None
        self._leave_at = float("inf")

        arguments = (env["VICUNA_OPERATOR_URL"], env["VICUNA_TRAINING"], env["VICUNA_TOKEN_FILE"])
        self._poller = Poller(OperatorClient(*arguments), lambda world: self._post("world", world), self._log)
        self._reporter = Reporter(OperatorClient(*arguments), lambda *answer: self._post("answer", *answer), self._log)

    def run(self) -> int:
        """Works until the pod's job is over; the exit code."""
        signal.signal(signal.SIGTERM, lambda *_: self._post("terminate"))
        signal.signal(signal.SIGINT, lambda *_: self._post("terminate"))
        signal.signal(signal.SIGCHLD, lambda *_: None)  # wakes the selector; reaping is done on every turn
        signal.set_wakeup_fd(self._wake_write.fileno(), warn_on_full_buffer=False)
        self._publish(urgent=True)
        self._poller.start()
        self._reporter.start()
        self._processes.prepare()
        try:
            while True:
                patience = 1.0 if self._is_ready else 0.1
                self._selector.select(timeout=max(0.0, min(patience, self._leave_at - time.monotonic())))
                self._drain_wakeups()
                self._read_inbox()
                while self._events:
                    name, *arguments = self._events.popleft()
                    getattr(self, f"_on_{name}")(*arguments)
                if not self._is_ready and self._processes.is_warm():
                    self._is_ready = True
                    self._publish(urgent=True)
                for process in self._processes.reap():
                    self._on_end(process)
                self._mind_silent_program()
                if self._leave_code is not None and time.monotonic() >= self._leave_at:
                    return self._leave_code
        finally:
            signal.set_wakeup_fd(-1)
            self._processes.close()
            shutil.rmtree(self._session, ignore_errors=True)

    # What happens

    def _on_world(self, world: World) -> None:
        received = time.time()
        member = world.member(self._pod)
        if member is None:
            if self._processes.running:
                self._log(f"Generation {world.generation} goes on without this pod: its processes are ended.")
            self._leave_world()
            return
        if self._world is not None and world.generation < self._world.generation:
            return  # a standby operator that has not caught up
        self._log(f"Told at {received:.3f}: generation {world.generation}, {world.directive}, deadline {world.deadline}.")
        is_new = self._world is None or world.generation > self._world.generation
        self._world, self._member = world, member
        if self._terminating:
            if is_new:
                self._processes.kill()  # the gang has moved on: nothing of the old generation can be committed any more
                self._generation = world.generation
                self._leave(exits.TERMINATED, TERMINATED_GOODBYE_SECONDS)
                self._publish(urgent=True)
            return
        if is_new:
            self._start_generation(world, member)
        else:
            self._write_directive()
            self._stop_unaware_program()

    def _on_answer(self, report: dict[str, Any], status: int, code: str, message: str) -> None:
        if status == 200:
            checkpoint = report.get("checkpoint")
            if checkpoint is not None and checkpoint["uri"] != self._acknowledged:
                self._acknowledged = checkpoint["uri"]
                self._write_directive()
            is_last_word = report["state"] == self._state and report["generation"] == self._generation
            has_all = self._checkpoint is None or self._checkpoint["uri"] == self._acknowledged
            if self._leave_code is not None and is_last_word and has_all:
                self._leave_at = 0.0
            return
        self._log(f"The operator refuses the report: {status} {code}: {message}")
        if report["generation"] != self._generation:
            return
        if code == "OldGeneration" and self._processes.running:
            self._processes.kill()
        elif code == "NotInWorld" and not self._terminating:
            self._leave_world()
        elif code in ("PodReplaced", "NotAWorker"):
            self._processes.kill()
            self._leave(exits.ERROR, 0.0)

    def _on_terminate(self) -> None:
        if self._terminating or self._leave_code is not None:
            return
        self._terminating = True
        self._log("Told to end (SIGTERM): saving what is not saved.")
        if self._state in ("starting", "running"):
            self._state = "terminating"
        has_work = self._processes.running and (not self._is_own_trainer or self._said.get("state") == "running")
        if has_work:
            self._write_directive()
            self._stop_unaware_program()
        else:
            self._processes.kill()
            self._state = "terminating"
            self._leave(exits.TERMINATED, TERMINATED_GOODBYE_SECONDS)
        self._publish(urgent=True)

    def _on_end(self, process: Process) -> None:
        self._read_inbox()  # its last words came before its end
        code = process.exit_code or 0
        if code != 0 and not (self._is_stopping() and self._signalled_stop):
            self._fail(process)
        elif not self._processes.running and self._exit is None:
            self._finish()

    # What is done about it

    def _start_generation(self, world: World, member: Member) -> None:
        self._processes.kill()
        self._generation = world.generation
        self._said, self._heard, self._exit = {}, set(), None
        self._checkpoint, self._signalled_stop = None, False
        self._state = "starting"
        self._write_directive()
        if world.directive == "stop":
            self._state = "stopped"
            self._publish(urgent=True)
            return
        self._publish(urgent=True)
        self._started_at = time.monotonic()
        try:
            self._processes.start([self._environment(world, member, n) for n in range(self._process_count)])
        except OSError as error:
            self._processes.kill()
            self._state = "failed"
            self._exit = (exits.ERROR, f"The training program cannot be started: {error}.")
            self._publish(urgent=True)

    def _leave_world(self) -> None:
        self._processes.kill()
        if self._generation == 0 and self._world is None:
            return
        self._world, self._member, self._generation = None, None, 0
        self._said, self._exit, self._checkpoint = {}, None, None
        self._state = "terminating" if self._terminating else "starting"
        if self._terminating:
            self._leave(exits.TERMINATED, TERMINATED_GOODBYE_SECONDS)
        self._publish(urgent=True)

    def _fail(self, process: Process) -> None:
        """One process's end is the end of all: the others would wait for it for ever."""
        code = process.exit_code or 0
        if self._exit is not None and not (self._exit[0] == exits.PEER_LOST and code != exits.PEER_LOST):
            return
        said = self._said.get("message") if process.local_rank == 0 and self._said.get("state") == "failed" else None
        message = said or process.tail.text() or f"The training process ended with code {code} and said nothing."
        self._exit = (code, message)
        self._log(f"Process {process.local_rank} of generation {self._generation} ended with code {code}.")
        self._processes.kill()
        self._state = "failed"
        if self._terminating:
            self._state = "terminating"
            self._leave(exits.TERMINATED, TERMINATED_GOODBYE_SECONDS)
        self._publish(urgent=True)

    def _finish(self) -> None:
        """All processes ended well."""
        ended = self._said.get("state")
        if ended not in ("stopped", "succeeded"):
            ended = "stopped" if self._is_stopping() else "succeeded"
        if ended == "succeeded":
            self._state = "succeeded"
            self._leave(0, GOODBYE_SECONDS)
        elif self._terminating:
            self._state = "terminating"
            self._leave(exits.TERMINATED, TERMINATED_GOODBYE_SECONDS)
        else:
            self._state = "stopped"
        self._publish(urgent=True)

    def _leave(self, code: int, within: float) -> None:
        self._leave_code = code
        self._leave_at = time.monotonic() + within

    def _is_stopping(self) -> bool:
        return self._terminating or (self._world is not None and self._world.directive == "stop")

    def _stop_unaware_program(self) -> None:
        """A program of the user's own that has never spoken to the session gets the signal it may know."""
        if self._is_own_trainer or self._heard or not self._is_stopping() or self._signalled_stop:
            return
        self._signalled_stop = True
        self._processes.signal(signal.SIGTERM)

    def _watch_for_checkpoints(self) -> CheckpointWatcher | None:
        storage = json.loads(self._env.get("VICUNA_CONFIG", "{}")).get("checkpoint", {}).get("storage", "")
        if self._is_own_trainer or not storage.startswith("file:///"):
            return None
        watcher = CheckpointWatcher(storage.removeprefix("file://"), lambda found: self._post("commit", found), self._log)
        watcher.start()
        return watcher

    def _mind_silent_program(self) -> None:
        """A program that does not know the session runs all the same, and what it saves is its checkpoint."""
        is_silent = not self._is_own_trainer and not self._heard and bool(self._processes.running)
        if self._watcher is not None:
            self._watcher.generation = self._generation
            self._watcher.is_active = is_silent and self._member is not None and self._member.rank == 0
        if is_silent and self._state == "starting" and time.monotonic() - self._started_at >= SILENT_SECONDS:
            step = self._world.resume_step or 0 if self._world is not None else 0
            self._state = "running"
            self._said = {"step": step, **self._said, "resumedStep": step}
            self._publish(urgent=True)

    def _on_commit(self, checkpoint: dict[str, Any]) -> None:
        if checkpoint["generation"] == self._generation and not self._heard:
            self._checkpoint = checkpoint
            self._said = {**self._said, "step": max(checkpoint["step"], self._said.get("step", 0))}
            self._publish(urgent=True)

    def _environment(self, world: World, member: Member, local_rank: int) -> dict[str, str]:
        """What torchrun would set, and the session's own."""
        count = self._process_count
        env = thread_settings(self._env)
        env.update(
            RANK=str(member.rank * count + local_rank),
            LOCAL_RANK=str(local_rank),
            WORLD_SIZE=str(len(world.members) * count),
            LOCAL_WORLD_SIZE=str(count),
            GROUP_RANK=str(member.rank),
            MASTER_ADDR=world.members[0].address,
            MASTER_PORT=str(FIRST_PORT + world.generation % 500),
            VICUNA_SESSION=self._session,
            VICUNA_GENERATION=str(world.generation),
            VICUNA_RESUME_URI=world.resume_uri or "",
            VICUNA_RESUME_STEP=str(world.resume_step or 0),
        )
        interface = interface_of(member.address)
        if interface is not None:
            env.setdefault("GLOO_SOCKET_IFNAME", interface)
        return env

    def _write_directive(self) -> None:
        world = self._world
        if world is None:
            return
        directive = {
            "revision": f"{world.revision}{'+terminate' if self._terminating else ''}",
            "order": "stop" if self._terminating else world.directive,
            "deadline": world.deadline,
            "interval": world.interval,
            "acknowledged": self._acknowledged,
        }
        path = os.path.join(self._session, DIRECTIVE_FILE)
        with open(f"{path}.new", "w", encoding="utf-8") as file:
            json.dump(directive, file)
        os.replace(f"{path}.new", path)

    def _read_inbox(self) -> None:
        before = (self._said.get("state"), self._checkpoint, self._said.get("message"))
        changed = False
        with contextlib.suppress(BlockingIOError):
            while True:
                datagram = self._inbox.recv(1 << 17)
                with contextlib.suppress(ValueError, KeyError, TypeError):
                    said = json.loads(datagram)
                    if said["generation"] != self._generation:
                        continue
                    self._heard.add(said["localRank"])
                    if said["localRank"] == 0:
                        self._said = said
                        self._checkpoint = said.get("checkpoint", self._checkpoint)
                        changed = True
        if not changed:
            return
        if self._state == "starting" and self._said.get("state") == "running":
            self._state = "running"
        self._publish(urgent=before != (self._said.get("state"), self._checkpoint, self._said.get("message")))

    def _publish(self, urgent: bool) -> None:
        if self._generation == 0 and not self._is_ready and not self._terminating:
            # The first report tells the operator that this pod can take over at once: not before everything is imported.
            return
        said = self._said
        report: dict[str, Any] = {
            "generation": self._generation,
            "rank": self._member.rank if self._member is not None else 0,
            "state": self._state,
            "step": 0,
            "totalSteps": 0,
            "epoch": 0.0,
            "loss": None,
            "tokensPerSecond": None,
        }
        report.update({name: said[name] for name in REPORT_FIELDS if name in said})
        if self._checkpoint is not None:
            report["checkpoint"] = self._checkpoint
        if self._exit is not None:
            report["exitCode"] = max(-255, min(255, self._exit[0]))
            report["message"] = self._exit[1]
        if "message" in report:
            report["message"] = report["message"][-MESSAGE_CHARACTERS:]
        self._reporter.update(report, urgent)

    def _post(self, *event: Any) -> None:
        self._events.append(event)
        with contextlib.suppress(BlockingIOError):
            self._wake_write.send(b"\0")

    def _drain_wakeups(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._wake_read.recv(4096):
                pass

    def _log(self, message: str) -> None:
        print(f"supervisor {self._pod}: {message}", file=sys.stderr, flush=True)


def interface_of(address: str) -> str | None:
    """Name of the network interface that has the IPv4 address, or None: gloo would otherwise guess from the host name."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            request = struct.pack("256s", name.encode()[:15])
            with contextlib.suppress(OSError):
                if socket.inet_ntoa(fcntl.ioctl(probe.fileno(), SIOCGIFADDR, request)[20:24]) == address:
                    return name
    return None


def told(env: Mapping[str, str]) -> dict[str, str]:
    """The variables that the operator packs into one, VICUNA_WORKER. Raises ValueError where that is no JSON object of strings."""
    packed = json.loads(env.get("VICUNA_WORKER", "{}"))
    if not isinstance(packed, dict) or not all(isinstance(value, str) for value in packed.values()):
        raise ValueError("VICUNA_WORKER is no JSON object of strings")
    return packed


def main() -> None:
    """Runs the supervisor of this pod."""
    try:
        os.environ.update(told(os.environ))
        supervisor = Supervisor(os.environ)
    except (KeyError, ValueError) as error:
        print(f"supervisor: the pod's environment is incomplete: {error!r}. Start it by the operator.", file=sys.stderr)
        sys.exit(exits.BAD_CONFIGURATION)
    sys.exit(supervisor.run())


if __name__ == "__main__":
    main()
