"""The supervisor's side of the worker protocol, with programs that need no torch."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from vicuna_trainer.manifest import verify
from vicuna_trainer.processes import StderrTail
from vicuna_trainer.storage import open_storage
from vicuna_trainer.supervisor import interface_of
from vicuna_trainer.world import World

from .gang import PACKAGE_ROOT, descendants, eventually

PROGRAMS = str(Path(__file__).with_name("programs.py"))


def program(name):
    return [sys.executable, PROGRAMS, name]


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


def test_needs_no_more_than_the_standard_library():
    """It must answer a fraction of a second after the pod's start: importing torch takes seconds."""
    heavy = ("torch", "numpy", "transformers", "fsspec")
    code = f"import vicuna_trainer.supervisor, sys; print([m for m in {heavy} if m in sys.modules])"
    env = {"PYTHONPATH": str(PACKAGE_ROOT), "PATH": os.environ["PATH"]}
    done = subprocess.run([sys.executable, "-S", "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_announces_itself_before_the_first_world_and_then_trains(gang, operator):
    gang.start("a", command=program("polite"))
    first = operator.wait_state("a", "starting")
    assert first["generation"] == 0
    operator.publish(1, ["a"])
    report = operator.wait_step("a", 3)
    assert (report["generation"], report["rank"], report["resumedStep"]) == (1, 0, 0)
    assert operator.violations == []


def test_sets_what_torchrun_sets(gang, operator):
    for name in ("a", "b"):
        gang.start(name, processes=2, command=program("environment"))
    resume = {"step": 7, "uri": f"{gang.storage_uri}/step-00000007-g502"}
    operator.publish(503, ["b", "a"], resume=resume)
    assert gang.exit_code("a") == 0 and gang.exit_code("b") == 0
    env = [json.loads((gang.storage / f"env-{rank}").read_text()) for rank in range(4)]
    assert [e["LOCAL_RANK"] for e in env] == ["0", "1", "0", "1"]
    assert [e["VICUNA_POD_NAME"] for e in env] == ["b", "b", "a", "a"]
    for e in env:
        assert (e["WORLD_SIZE"], e["LOCAL_WORLD_SIZE"], e["MASTER_ADDR"], e["MASTER_PORT"]) == ("4", "2", "127.0.0.1", "29503")
        assert (e["VICUNA_RESUME_STEP"], e["VICUNA_RESUME_URI"], e["GLOO_SOCKET_IFNAME"]) == ("7", resume["uri"], "lo")


def test_a_directive_reaches_the_program_at_once_and_its_checkpoint_the_operator(gang, operator):
    gang.start("a", command=program("polite"))
    operator.publish(1, ["a"])
    operator.wait_step("a", 1)
    operator.direct("checkpoint")
    report = operator.wait(lambda o: next((r for r in o.reports["a"] if "checkpoint" in r), None))
    assert report["_at"] - operator.published_at < 1.0
    assert report["state"] == "running"
    verify(open_storage(gang.storage_uri), report["checkpoint"]["uri"].rpartition("/")[2])
    operator.direct("stop")
    stopped = operator.wait_state("a", "stopped")
    assert stopped["checkpoint"]["step"] == stopped["step"] > report["checkpoint"]["step"]
    operator.publish(2, ["a"], resume=operator.newest_checkpoint())
    assert operator.wait_state("a", "running", generation=2)["resumedStep"] == stopped["step"]
    assert operator.violations == []


def test_a_new_generation_ends_the_old_processes_though_they_hang(gang, operator):
    gang.start("a", command=[sys.executable, "-c", "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(1000)"])
    operator.publish(1, ["a"])
    old = eventually(lambda: gang.trainers("a"))
    operator.publish(2, ["a"])
    operator.wait(lambda o: o.last("a").get("generation") == 2)
    eventually(lambda: gang.trainers("a") and not set(gang.trainers("a")) & set(old))
    assert not any(alive(pid) for pid in old)


def test_a_pod_that_the_world_leaves_out_ends_its_processes_and_waits(gang, operator):
    gang.start("a", command=program("polite"))
    operator.publish(1, ["a"])
    operator.wait_step("a", 1)
    operator.publish(2, ["b"])
    operator.wait(lambda o: o.last("a").get("generation") == 0)
    assert gang.trainers("a") == []
    operator.publish(3, ["b", "a"])
    operator.wait(lambda o: o.last("a").get("generation") == 3)
    assert operator.violations == []


def test_success_ends_the_pod_once_the_operator_knows(gang, operator):
    gang.start("a", command=program("short"))
    operator.publish(1, ["a"])
    assert gang.exit_code("a") == 0
    last = operator.last("a")
    assert (last["state"], last["step"], last["totalSteps"]) == ("succeeded", 5, 5)


def test_a_failure_is_told_with_its_last_words_and_the_pod_stays_for_the_next_world(gang, operator):
    gang.start("a", command=program("broken"))
    operator.publish(1, ["a"])
    failed = operator.wait_state("a", "failed")
    assert failed["exitCode"] == 3
    assert failed["message"].endswith("ValueError: the last line says why\n") and len(failed["message"]) <= 2048
    operator.publish(2, ["a"])
    operator.wait_state("a", "failed", generation=2)
    assert gang.pods["a"].poll() is None


def test_a_program_that_cannot_be_started_is_a_failure(gang, operator):
    gang.start("a", command=["/nonexistent/program"])
    operator.publish(1, ["a"])
    assert "cannot be started" in operator.wait_state("a", "failed")["message"]


def test_training_goes_on_while_the_operator_is_away(gang, operator):
    gang.start("a", command=program("polite"))
    operator.publish(1, ["a"], interval={"steps": 20})
    operator.wait_step("a", 1)
    operator.is_deaf = True
    step = operator.last("a")["step"]
    eventually(lambda: len(list(gang.storage.glob("step-*/manifest.json"))) >= 3)
    operator.is_deaf = False
    operator.wait_step("a", step + 60)
    assert operator.last("a")["checkpoint"]["step"] > step
    assert operator.violations == []


def test_sigterm_while_the_operator_is_away_still_saves(gang, operator):
    gang.start("a", command=program("polite"))
    operator.publish(1, ["a"])
    operator.wait_step("a", 1)
    operator.is_deaf = True
    gang.terminate("a")
    assert gang.exit_code("a") == 143
    assert len(list(gang.storage.glob("step-*/manifest.json"))) == 1


def test_sigterm_before_the_first_world_ends_at_once(gang, operator):
    gang.start("a", command=program("polite"))
    operator.wait_state("a", "starting")
    gang.terminate("a")
    assert gang.exit_code("a", 10) == 143
    assert operator.last("a")["state"] == "terminating"


def test_a_program_that_knows_nothing_gets_sigterm(gang, operator):
    gang.start("a", command=program("unaware"))
    operator.publish(1, ["a"])
    eventually(lambda: "ready" in gang.log("a"))
    operator.direct("stop")
    operator.wait_state("a", "stopped")
    assert (gang.storage / "saved-0").exists()


def test_checkpoints_of_a_program_that_knows_nothing_are_found_and_committed(gang, operator):
    gang.start("a", command=program("saves_by_itself"))
    operator.publish(1, ["a"], resume=None)
    report = operator.wait(lambda o: next((r for r in o.reports["a"] if r.get("checkpoint", {}).get("step") == 20), None), 20)
    assert report["checkpoint"]["uri"] == f"{gang.storage_uri}/checkpoint-20"
    for name in ("checkpoint-10", "checkpoint-20"):
        assert len(verify(open_storage(gang.storage_uri), name)["files"]) == 3
    running = operator.wait_state("a", "running", 20)
    assert (running["step"], running["resumedStep"]) == (20, 0)
    assert operator.violations == []


@pytest.mark.parametrize("code", ["OldGeneration", "NotInWorld"])
def test_a_refused_generation_is_ended(gang, operator, code):
    gang.start("a", command=program("polite"))
    operator.publish(1, ["a"])
    operator.wait_step("a", 1)
    operator.refuse["a"] = (409 if code == "OldGeneration" else 422, code)
    eventually(lambda: not gang.trainers("a"))
    assert gang.pods["a"].poll() is None


def test_a_pod_that_was_replaced_ends(gang, operator):
    gang.start("a", command=program("polite"))
    operator.publish(1, ["a"])
    operator.wait_step("a", 1)
    operator.refuse["a"] = (403, "PodReplaced")
    assert gang.exit_code("a", 10) == 1


def test_nothing_outlives_a_killed_supervisor(gang, operator):
    gang.start("a", processes=2, command=program("polite"))
    operator.publish(1, ["a"])
    children = eventually(lambda: len(found := descendants(gang.pods["a"].pid)) == 2 and found)
    os.kill(gang.pods["a"].pid, signal.SIGKILL)
    eventually(lambda: not any(alive(pid) for pid in children))


def test_an_incomplete_environment_is_named(gang):
    env = {"PYTHONPATH": str(PACKAGE_ROOT), "PATH": os.environ["PATH"]}
    done = subprocess.run([sys.executable, "-m", "vicuna_trainer.supervisor"], env=env, capture_output=True, text=True)
    assert done.returncode == 64 and "VICUNA_POD_NAME" in done.stderr
    broken = subprocess.run(
        [sys.executable, "-m", "vicuna_trainer.supervisor"], env={**env, "VICUNA_WORKER": "[]"}, capture_output=True, text=True
    )
    assert broken.returncode == 64 and "VICUNA_WORKER" in broken.stderr


def test_the_token_is_read_again(gang, operator):
    """The fake's tokens name their pod: with another pod's token the reports arrive as that one's."""
    gang.start("a", command=program("polite"))
    operator.wait_state("a", "starting")
    token = gang.directory / "a.token"
    token.write_text(token.read_text().replace(".a", ".renewed"))
    operator.wait_state("renewed", "starting")


def test_the_interface_of_an_address():
    assert interface_of("127.0.0.1") == "lo"
    assert interface_of("203.0.113.1") is None and interface_of("") is None


def test_the_tail_of_stderr_is_bounded():
    read_end, write_end = os.pipe()
    tail = StderrTail(read_end)
    tail.start()
    with os.fdopen(write_end, "wb") as stream:
        for number in range(1000):
            stream.write(b"line %d %s\n" % (number, b"x" * 300))
    assert tail.text().endswith("line 999 " + "x" * 300 + "\n") and len(tail.text()) == 2048


def test_a_world_that_is_none_is_refused():
    with pytest.raises((KeyError, TypeError, ValueError)):
        World.parse({"generation": 1})


def test_reports_come_at_least_every_two_seconds(gang, operator):
    gang.start("a", command=program("unaware"))
    operator.wait(lambda o: len(o.reports["a"]) >= 3, timeout=8)
    times = [report["_at"] for report in operator.reports["a"]]
    assert max(b - a for a, b in itertools.pairwise(times)) < 2.5
    assert time.time() - times[-1] < 2.5
