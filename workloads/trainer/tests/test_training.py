"""Real gangs of supervisors and gloo processes against the fake operator."""

from __future__ import annotations

from vicuna_trainer.check_samples import check
from vicuna_trainer.storage import open_storage

TOTAL = 20  # 40 samples, 4 per step, 2 epochs


def test_trains_saves_stops_and_resumes(gang, operator):
    operator.publish(1, ["a", "b"], interval={"steps": 4})
    gang.start("a", "b")
    operator.wait_step("a", 6)
    operator.direct("stop")
    for pod in ("a", "b"):
        report = operator.wait_state(pod, "stopped")
        assert report["checkpoint"]["step"] == report["step"]
    resume = operator.newest_checkpoint()
    operator.publish(2, ["a", "b"], resume=resume, interval={"steps": 4})
    report = operator.wait_state("a", "running", generation=2)
    assert report["resumedStep"] == resume["step"]
    assert gang.exit_code("a") == 0 and gang.exit_code("b") == 0
    assert operator.last("a")["state"] == "succeeded" and operator.last("a")["step"] == TOTAL
    assert operator.violations == []
    proof = check(open_storage(gang.storage_uri))
    assert (proof.epochs, proof.rest, proof.epoch_size) == (2, 0, 40)
    assert (gang.storage / "model" / "model-00001.safetensors").exists()
