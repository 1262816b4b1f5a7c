"""Jobs on their way through the engine."""

from __future__ import annotations

import pytest
import torch
from engine_driver import wanted
from vicuna_engine.engine import EmbeddingRequest, Engine, Job
from vicuna_engine.errors import ApiError


def test_a_cancelled_answer_frees_its_rows_at_once(driver):
    engine = driver("--max-num-seqs", "1")
    job, cancelled = engine.submit(wanted([5, 6, 7], 100))
    _, waiting = engine.submit(wanted([8], 3))
    engine.engine.turn()
    engine.engine.turn()
    assert len(cancelled.tokens) == 2
    engine.engine.cancel([job])
    engine.finish()
    assert (len(cancelled.tokens), cancelled.finish_reason) == (2, None)
    assert len(waiting.tokens) == 3
    assert engine.scheduler.ranges.used == 0
    assert engine.engine.metrics.finished._series["abort"] == 1


def test_a_waiting_job_can_be_cancelled_and_an_ended_one_needs_no_cancelling(driver):
    engine = driver("--max-num-seqs", "1")
    first, done = engine.submit(wanted([5], 3))
    second, never = engine.submit(wanted([6], 3))
    engine.engine.cancel([second])
    engine.finish()
    engine.engine.cancel([first, second])
    engine.engine.turn()
    assert (len(done.tokens), never.events) == (3, [])


def test_time_that_is_up_ends_an_answer_wherever_it_is(driver):
    engine = driver("--max-num-seqs", "1")
    _, running = engine.submit(wanted([5], 100), deadline=10.0)
    _, waiting = engine.submit(wanted([6], 100), deadline=5.0)
    _, last = engine.submit(wanted([7], 2), deadline=100.0)
    engine.engine.turn()
    engine.clock = 5.0
    engine.engine.turn()
    assert (waiting.error.status, waiting.error.code, running.error) == (504, "deadline_exceeded", None)
    engine.clock = 10.0
    engine.finish()
    assert running.error.status == 504
    assert len(last.tokens) == 2
    assert engine.engine.metrics.finished._series == {"stop": 0, "length": 1, "abort": 0, "error": 2}


def test_a_full_queue_takes_all_jobs_of_a_request_or_none(driver):
    engine = driver("--max-num-seqs", "1", most_waiting=2)
    engine.submit(wanted([5], 50))
    engine.engine.turn()
    engine.submit(wanted([6], 2))
    jobs = [Job(wanted([7], 2), lambda _: None) for _ in range(2)]
    with pytest.raises(ApiError) as caught:
        engine.engine.submit(jobs)
    assert (caught.value.status, caught.value.headers) == (429, {"Retry-After": "1"})
    engine.engine.submit(jobs[:1])
    engine.finish()


def test_gauges_count_what_waits_runs_and_holds_rows(driver):
    engine = driver("--max-num-seqs", "2", "--kv-cache-tokens", "2048")
    for prompt in ([5], [6], [7]):
        engine.submit(wanted(prompt, 511))
    engine.engine.turn()

    def gauges():
        lines = engine.engine.metrics.render({"model_name": "x"}).splitlines()
        names = ("num_requests_waiting", "num_requests_running", "kv_cache_usage_perc", "gpu_cache_usage_perc")
        return [float(line.split()[-1]) for name in names for line in lines if line.startswith(f"vllm:{name}{{")]

    assert gauges() == [1, 2, 0.5, 0.5]


def test_an_embedding_is_the_mean_of_the_last_hidden_states(driver):
    engine = driver("--max-num-batched-tokens", "50")
    tokens = torch.randint(3, 380, (130,), generator=torch.Generator().manual_seed(1)).tolist()
    (found,) = engine.answer(EmbeddingRequest(tuple(tokens))).events
    model = engine.runner.model
    model.set_attn_implementation("eager")
    mean = model.base_model(torch.tensor([tokens])).last_hidden_state[0].mean(0)
    torch.testing.assert_close(torch.tensor(found.vector), mean / mean.norm(), atol=1e-5, rtol=1e-4)


def test_an_answer_that_was_complete_when_it_was_handed_over_just_ends(driver):
    engine = driver()
    complete = engine.answer(wanted([5, 6], 4, continued=(7, 2), ends=frozenset({2})))
    assert (complete.tokens, complete.text, complete.finish_reason) == ([], "", "stop")


def test_an_engine_that_fails_tells_everybody_and_takes_nothing_more(loads):
    posted, ended = [], []
    loaded = loads()[1]
    engine = Engine(lambda: loaded, posted.extend, 10, ended.append)

    def fail(step):
        raise RuntimeError("out of memory")

    loaded.runner.run = fail
    engine.load()
    engine.submit([Job(wanted([5], 3), lambda _: None)])
    engine.start()
    engine.stop()
    assert [event.status for _, event in posted] == [500]
    assert "out of memory" in str(ended[0])
    assert not engine.ready
    with pytest.raises(ApiError, match="not loaded"):
        engine.submit([Job(wanted([5], 3), lambda _: None)])
