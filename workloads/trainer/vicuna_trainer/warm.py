"""A process that has imported everything a training process needs, and forks one on request.

Importing torch and transformers takes seconds of CPU time. A pod that survives an interruption restarts its training
processes; forked from here they start in milliseconds. Safe because nothing has begun that a fork breaks: no thread (checked
before each fork), no process group, no CUDA context (imports must not make one; a process that finds one starts afresh).

Protocol, on the socket whose descriptor is the only argument (SOCK_SEQPACKET): it says "warm" once when it is ready. A message
to it is an environment as JSON with, as ancillary data, the descriptor for stderr; the answer is the new process's pid. The
socket's end ends this process.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import socket
import sys
import time
import traceback

from .processes import WARM, die_with_parent

MODULES = (
    "torch",
    "torch.distributed",
    "torch.distributed.fsdp",
    "torch.distributed.checkpoint",
    "torch.distributed.checkpoint.state_dict",
    "transformers",
    "transformers.models.llama.modeling_llama",
    "transformers.models.auto.tokenization_auto",
    "vicuna_trainer.train",
)
# More than this an environment never has: the kernel's own limit for a message on such a socket is about 200 KiB.
LARGEST_REQUEST = 1 << 18
REPARENT_SECONDS = 5.0


def main() -> None:
    """Imports, then serves until the supervisor is gone."""
    supervisor = os.getppid()
    die_with_parent(supervisor)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # Asking for GPUs through CUDA would make the context that forbids forking; NVML tells as well.
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"
    requests = socket.socket(fileno=int(sys.argv[1]))
    for module in MODULES:
        importlib.import_module(module)
    requests.send(WARM)
    while True:
        try:
            message, descriptors, _, _ = socket.recv_fds(requests, LARGEST_REQUEST, 1)
        except ConnectionError:
            return
        if not message or not descriptors:
            return
        _fork_twice(requests, json.loads(message), descriptors[0], supervisor)
        os.close(descriptors[0])


def _fork_twice(requests: socket.socket, env: dict[str, str], stderr: int, supervisor: int) -> None:
    may_fork = thread_count() == 1
    middle = os.fork()
    if middle > 0:
        os.waitpid(middle, 0)
        return
    if os.fork() > 0:
        os._exit(0)
    code = 1
    try:
        os.dup2(stderr, 2)
        os.close(stderr)
        _wait_for_parent(supervisor)
        os.setsid()
        die_with_parent(supervisor)
        requests.send(str(os.getpid()).encode())
        requests.close()
        code = _become_trainer(env, may_fork)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _become_trainer(env: dict[str, str], may_fork: bool) -> int:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.environ.clear()
    os.environ.update(env)
    import torch

    if not may_fork or torch.cuda._is_in_bad_fork() or torch.cuda.is_initialized():
        os.execve(sys.executable, [sys.executable, "-m", "vicuna_trainer.train"], env)
    from . import train

    return train.main()


def _wait_for_parent(supervisor: int) -> None:
    """Waits to become the supervisor's child: it dies with its parent, which must not be the process in between."""
    deadline = time.monotonic() + REPARENT_SECONDS
    while os.getppid() != supervisor:
        if time.monotonic() > deadline:
            raise RuntimeError("The supervisor is gone: no training process is started for it.")
        time.sleep(0.001)


def thread_count() -> int:
    """Threads of this process, those of libraries included."""
    return len(os.listdir("/proc/self/task"))


if __name__ == "__main__":
    main()
