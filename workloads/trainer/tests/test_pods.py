"""Whole pods, supervisor and trainer, against the fake operator."""

from __future__ import annotations

from vicuna_trainer.check_samples import check
from vicuna_trainer.manifest import verify
from vicuna_trainer.storage import open_storage


def test_a_training_outlives_a_terminated_and_a_killed_pod(gang, operator):
    """SIGTERM: the gang saves that step. SIGKILL: it goes on from the last checkpoint. In all, every sample once per epoch."""
    gang.recipe["epochs"] = 4
    interval = {"steps": 2}
    operator.publish(1, ["a", "b"], interval=interval)
    gang.start("a", "b", "c")
    operator.wait_step("b", 3)

    gang.terminate("b")
    assert gang.exit_code("b") == 143
    last = operator.last("b")
    assert last["state"] == "terminating" and last["checkpoint"]["step"] == last["step"] >= 3
    assert operator.wait_state("a", "stopped")["checkpoint"]["uri"] == last["checkpoint"]["uri"]
    verify(open_storage(gang.storage_uri), last["checkpoint"]["uri"].rpartition("/")[2])

    resume = operator.newest_checkpoint()
    assert resume["step"] == last["step"]
    gang.start("d")
    operator.publish(2, ["a", "c"], resume=resume, interval=interval)
    assert operator.wait_state("a", "running", generation=2)["resumedStep"] == resume["step"]
    operator.wait_step("a", resume["step"] + 4, generation=2)
    gang.kill("c")
    failed = operator.wait_state("a", "failed")
    assert failed["exitCode"] == 69, failed

    resume = operator.newest_checkpoint()
    assert failed["step"] - resume["step"] <= 5
    operator.publish(3, ["a", "d"], resume=resume, interval=interval)
    assert operator.wait_state("a", "running", generation=3)["resumedStep"] == resume["step"]
    assert gang.exit_code("a") == 0 and gang.exit_code("d") == 0
    assert operator.last("a")["state"] == "succeeded" and operator.last("a")["step"] == 40
    assert operator.violations == []
    proof = check(open_storage(gang.storage_uri))
    assert (proof.epochs, proof.rest) == (4, 0)
