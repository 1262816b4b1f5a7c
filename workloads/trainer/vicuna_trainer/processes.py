"""Starts, watches and ends the training processes of one pod.

All of them are children of the supervisor, also those that the warm process forks: it forks twice, and the orphan comes to
the supervisor, which is their subreaper. So one waitpid tells every end, and a pid is never signalled after it was reaped.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from dataclasses import dataclass, field

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
STDERR_TAIL_BYTES = 2048
WARM_ANSWER_SECONDS = 60.0
# What the warm process says, once and unasked, when everything is imported.
WARM = b"warm"


def set_process_option(option: int, value: int) -> None:
    """prctl(2); harmless where the kernel refuses."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


@dataclass
class Process:
    """One training process."""

    pid: int
    local_rank: int
    tail: StderrTail
    exit_code: int | None = None


@dataclass
class StderrTail:
    """Passes a process's stderr on and keeps its last 2 KiB."""

    read_end: int
    _lines: deque[bytes] = field(default_factory=deque)
    _bytes: int = 0
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Reads until every holder of the other end is gone."""
        self._thread = threading.Thread(target=self._pump, daemon=True)
        self._thread.start()

    def text(self) -> str:
        """What was written last; waits briefly for what is still on its way."""
        if self._thread is not None:
            self._thread.join(timeout=0.5)
        return b"".join(self._lines)[-STDERR_TAIL_BYTES:].decode("utf-8", "replace")

    def _pump(self) -> None:
        with open(self.read_end, "rb") as stream:
            for line in stream:
                with contextlib.suppress(OSError, ValueError):
                    sys.stderr.buffer.write(line)
                    sys.stderr.buffer.flush()
                self._lines.append(line[-STDERR_TAIL_BYTES:])
                self._bytes += len(self._lines[-1])
                while self._bytes - len(self._lines[0]) >= STDERR_TAIL_BYTES:
                    self._bytes -= len(self._lines.popleft())


class Processes:
    """The pod's training processes of one generation at a time."""

    def __init__(self, command: list[str] | None) -> None:
        self._command = command
        self._warm = None if command is not None else WarmProcess()
        self.running: dict[int, Process] = {}
        set_process_option(PR_SET_CHILD_SUBREAPER, 1)

    def prepare(self) -> None:
        """Has a process import everything ahead of time, so that the next start takes no seconds of imports."""
        if self._warm is not None:
            self._warm.start()

    def is_warm(self) -> bool:
        """Whether processes started now would train without first importing for seconds."""
        return self._warm is None or self._warm.is_warm()

    def start(self, environments: list[dict[str, str]]) -> None:
        """Starts one process per environment; the list's order is the local rank. Raises OSError."""
        for local_rank, env in enumerate(environments):
            read_end, write_end = os.pipe()
            tail = StderrTail(read_end)
            try:
                pid = self._warm.fork(env, write_end) if self._warm is not None else None
                if pid is None:
                    pid = _spawn(self._command or [sys.executable, "-m", "vicuna_trainer.train"], env, write_end)
            finally:
                os.close(write_end)
            tail.start()
            self.running[pid] = Process(pid, local_rank, tail)

    def signal(self, number: int) -> None:
        """Signals all processes and what they have started."""
        for process in self.running.values():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, number)
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, number)

    def kill(self) -> None:
        """Ends all processes at once, and waits until they are gone: nothing of theirs may reach the next generation."""
        self.signal(signal.SIGKILL)
        for process in self.running.values():
            with contextlib.suppress(ChildProcessError):
                os.waitpid(process.pid, 0)
        self.running.clear()

    def reap(self) -> list[Process]:
        """Training processes that have ended since the last call. Reaps every other child, too."""
        ended = []
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            if self._warm is not None:
                self._warm.note_end(pid)
            process = self.running.pop(pid, None)
            if process is not None:
                process.exit_code = os.waitstatus_to_exitcode(status)
                ended.append(process)
        return ended

    def close(self) -> None:
        """Ends everything."""
        self.kill()
        if self._warm is not None:
            self._warm.close()


class WarmProcess:
    """A process that has imported torch and transformers and forks training processes; see warm.py."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._pid: int | None = None
        self._is_warm = False

    def start(self) -> None:
        """Starts it, unless it runs. It answers once its imports are done."""
        if self._pid is not None:
            return
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-m", "vicuna_trainer.warm", str(theirs.fileno())]
        with theirs:
            self._pid = subprocess.Popen(command, pass_fds=[theirs.fileno()], env=thread_settings(dict(os.environ))).pid
        ours.settimeout(WARM_ANSWER_SECONDS)
        self._socket = ours

    def fork(self, env: dict[str, str], stderr: int) -> int | None:
        """Pid of a new training process, or None where the warm process is not there to ask."""
        self.start()
        if self._socket is None:
            return None
        try:
            socket.send_fds(self._socket, [json.dumps(env).encode()], [stderr])
            answer = self._socket.recv(64)
            if answer == WARM:
                self._is_warm = True
                answer = self._socket.recv(64)
            return int(answer) if answer else self._lose()
        except (OSError, ValueError):
            return self._lose()

    def is_warm(self) -> bool:
        """Whether its imports are done; a warm process that died counts, since waiting for it would not help."""
        if self._socket is None:
            return True
        if not self._is_warm and select.select([self._socket], [], [], 0)[0]:
            with contextlib.suppress(OSError):
                self._is_warm = self._socket.recv(64) == WARM
        return self._is_warm

    def note_end(self, pid: int) -> None:
        """Tells that a child was reaped."""
        if pid == self._pid:
            self._lose()

    def close(self) -> None:
        """Ends it."""
        if self._pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self._pid, 0)
        self._lose()

    def _lose(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket = None
        self._pid = None
        self._is_warm = False


def thread_settings(env: dict[str, str]) -> dict[str, str]:
    """What torchrun sets, too: one thread per process unless told otherwise; idle ones sleep instead of spinning."""
    defaults = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "TOKENIZERS_PARALLELISM": "false"}
    return {**defaults, **env}


def _spawn(command: list[str], env: dict[str, str], stderr: int) -> int:
    parent = os.getpid()
    process = subprocess.Popen(command, env=env, stderr=stderr, start_new_session=True, preexec_fn=lambda: die_with_parent(parent))
    return process.pid


def die_with_parent(parent: int) -> None:
    """Has the kernel end this process with its parent; ends it now where the parent was quicker."""
    set_process_option(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
