"""Real gangs of supervisors and gloo processes against the fake operator: whatever happens, the result is the undisturbed one's."""

from __future__ import annotations

import os
import random
import signal
import time

import pytest
from safetensors.torch import load_file
from vicuna_trainer.check_samples import check
from vicuna_trainer.manifest import committed, verify
from vicuna_trainer.storage import open_storage

from .fake_operator import FakeOperator
from .gang import Gang

TOTAL = 40  # 40 samples, 4 per step, 4 epochs
EPOCHS = 4


@pytest.fixture(scope="module")
def undisturbed(tiny, tmp_path_factory):
    """Losses by step, and the final weights, of a run on two pods that nothing happens to."""
    with FakeOperator() as operator, Gang(operator, tiny, tmp_path_factory.mktemp("u")) as gang:
        gang.recipe["epochs"] = EPOCHS
        operator.publish(1, ["a", "b"])
        gang.start("a", "b")
        assert gang.exit_code("a", 120) == 0 and gang.exit_code("b") == 0
        assert operator.violations == []
        return losses(operator), load_file(gang.storage / "model" / "model-00001.safetensors")


def losses(operator):
    """Loss by step, as rank 0 reported it last."""
    return {r["step"]: r["loss"] for reports in operator.reports.values() for r in reports if r["rank"] == 0 and r["loss"]}


def expect_as_undisturbed(gang, operator, undisturbed, tolerance):
    """The history proves every sample once per epoch, and losses and weights are the undisturbed run's."""
    proof = check(open_storage(gang.storage_uri))
    assert (proof.epochs, proof.rest, proof.steps) == (EPOCHS, 0, TOTAL)
    expected, weights = undisturbed
    common = {step: loss for step, loss in losses(operator).items() if step in expected}
    assert TOTAL in common
    for step, loss in common.items():
        assert loss == pytest.approx(expected[step], abs=tolerance), f"step {step}"
    final = load_file(gang.storage / "model" / "model-00001.safetensors")
    for name, tensor in weights.items():
        assert (final[name] - tensor).abs().max() <= tolerance, name
    assert operator.violations == []


def resume_point(operator):
    return operator.newest_checkpoint()


def test_interruptions_at_random_moments_change_nothing(gang, operator, undisturbed):
    """Survivors restart eight times: killed processes, stops, checkpoints on demand, in whatever phase they are."""
    seed = int(os.environ.get("VICUNA_TEST_SEED", "3"))
    chance = random.Random(seed)
    gang.recipe["epochs"] = EPOCHS
    interval = {"steps": 3}
    operator.publish(1, ["a", "b"], interval=interval)
    gang.start("a", "b")
    operator.wait_state("a", "running", 60)
    lost = []
    for generation in range(2, 10):
        time.sleep(chance.uniform(0.0, 0.6))  # not a wait for anything: the moment is what varies
        kind = chance.choice(["kill one", "kill both", "stop", "checkpoint, then kill"])
        if operator.last("a").get("state") == "succeeded":
            break
        reached = max(operator.last("a")["step"], operator.last("b")["step"])
        if kind == "stop":
            operator.direct("stop")
            operator.wait(lambda o: all(o.last(pod)["state"] in ("stopped", "succeeded", "failed") for pod in "ab"))
        else:
            if kind == "checkpoint, then kill":
                operator.direct("checkpoint")
                time.sleep(chance.uniform(0.0, 0.2))
            for pod in ["a", "b"] if kind == "kill both" else ["b"]:
                for pid in gang.trainers(pod):
                    os.kill(pid, signal.SIGKILL)
        if operator.last("a")["state"] == "succeeded":
            break
        resume = resume_point(operator)
        if kind != "stop":
            lost.append(max(0, reached - (resume["step"] if resume else 0)))
        operator.publish(generation, ["a", "b"], resume=resume, interval=interval)
        report = operator.wait_state("a", "running", 60, generation=generation)
        assert report["resumedStep"] == (resume["step"] if resume else 0)
    assert gang.exit_code("a", 90) == 0 and gang.exit_code("b") == 0
    expect_as_undisturbed(gang, operator, undisturbed, 1e-5)
    assert max(lost, default=0) <= 3 + 2, "no more is lost than an interval and the save that was under way"


def test_resumes_on_one_two_and_four_processes(gang, operator, undisturbed):
    gang.recipe["epochs"] = EPOCHS
    gang.start("a", "b", "c", "d")
    for generation, pods in enumerate([["a", "b"], ["c"], ["d", "c", "b", "a"], ["b", "a"]], 1):
        operator.publish(generation, pods, resume=resume_point(operator))
        first = operator.wait_state(pods[0], "running", 90, generation=generation)
        if generation < 4:
            operator.wait_step(pods[0], first["step"] + 3, generation=generation)
            operator.direct("stop")
            stopped = [operator.wait_state(pod, "stopped", generation=generation) for pod in pods]
            assert {r["checkpoint"]["step"] for r in stopped} == {r["step"] for r in stopped} == {stopped[0]["step"]}
    assert gang.exit_code("b") == 0 and gang.exit_code("a") == 0
    # Sums are made in another order on another number of processes.
    expect_as_undisturbed(gang, operator, undisturbed, 2e-4)


def test_sigterm_saves_the_step_and_ends_with_143(gang, operator):
    gang.recipe["epochs"] = EPOCHS
    operator.publish(1, ["a", "b"])
    gang.start("a", "b")
    operator.wait_step("b", 3)
    gang.terminate("b")
    assert gang.exit_code("b") == 143
    last = operator.last("b")
    assert last["state"] == "terminating" and last["checkpoint"]["step"] == last["step"] >= 3
    stopped = operator.wait_state("a", "stopped")
    assert stopped["checkpoint"]["uri"] == last["checkpoint"]["uri"]
    verify(open_storage(gang.storage_uri), last["checkpoint"]["uri"].rpartition("/")[2])
    assert operator.violations == []


def test_a_pod_killed_without_notice_loses_no_more_than_an_interval(gang, operator, undisturbed):
    """Also: retention leaves the newest checkpoints, and the replaced pod's peers say that it was lost."""
    gang.recipe["epochs"] = EPOCHS
    gang.keep = 2
    operator.publish(1, ["a", "b"], interval={"steps": 2})
    gang.start("a", "b", "c")
    operator.wait_step("a", 7)
    gang.kill("b")
    failed = operator.wait_state("a", "failed")
    assert failed["exitCode"] == 69, failed
    resume = resume_point(operator)
    assert failed["step"] - resume["step"] <= 4
    operator.publish(2, ["a", "c"], resume=resume, interval={"steps": 2})
    assert operator.wait_state("a", "running", generation=2)["resumedStep"] == resume["step"]
    assert gang.exit_code("a") == 0 and gang.exit_code("c") == 0
    assert len(committed(open_storage(gang.storage_uri))) <= gang.keep + 1
    expect_as_undisturbed(gang, operator, undisturbed, 1e-5)
