"""Who computes what, and in which order."""

from __future__ import annotations

from vicuna_engine.kv_ranges import KvRanges
from vicuna_engine.scheduler import SPAN, Scheduler, Sequence


def scheduler(rows=1000, sequences=4, tokens=100):
    return Scheduler(KvRanges(rows), sequences, tokens)


def add(to, length, limit=None):
    sequence = Sequence([len(to.waiting)] * length, limit or length + 10)
    to.add(sequence)
    return sequence


def take(plan):
    """(sequence, first, count, last) of each segment of the next step, which is done."""
    step = plan.plan()
    plan.computed(step)
    return [(s.sequence, s.first, s.count, s.last) for s in step.segments]


def test_a_prompt_is_computed_in_steps_that_never_cross_the_end_of_a_span():
    plan = scheduler(tokens=100)
    long = add(plan, 200)
    assert take(plan) == [(long, 0, SPAN, False), (long, SPAN, 36, False)]
    assert take(plan) == [(long, 100, 28, False), (long, 128, SPAN, False), (long, 192, 8, True)]
    assert plan.plan() is None


def test_an_answer_goes_before_the_prompts_of_others():
    plan = scheduler(tokens=50)
    answering, first, second = add(plan, 5), add(plan, 60), add(plan, 60)
    take(plan)
    answering.tokens.append(1)
    assert [(who, count) for who, _, count, _ in take(plan)] == [(answering, 1), (first, 15), (second, 34)]


def test_the_first_in_the_queue_is_not_overtaken():
    plan = scheduler(rows=300)
    large, larger, small = add(plan, 200, 200), add(plan, 250, 250), add(plan, 10, 10)
    take(plan)
    assert plan.running == [large]
    assert list(plan.waiting) == [larger, small]
    plan.remove(large)
    take(plan)
    assert plan.running == [larger, small]


def test_no_more_sequences_run_than_may():
    plan = scheduler(sequences=2)
    first, second, third = add(plan, 5), add(plan, 5), add(plan, 5)
    take(plan)
    assert plan.running == [first, second]
    plan.remove(first)
    take(plan)
    assert plan.running == [second, third]


def test_whoever_is_taken_out_leaves_its_rows_to_others():
    plan = scheduler(rows=100)
    running, waiting, last = add(plan, 80, 80), add(plan, 90, 90), add(plan, 95, 95)
    take(plan)
    plan.remove(waiting)
    plan.remove(running)
    take(plan)
    assert plan.running == [last]
    assert plan.ranges.used == 95


def test_an_embedding_computes_every_token_even_of_a_known_text():
    plan = scheduler()
    first = add(plan, 50)
    take(plan)
    again = Sequence(list(first.tokens), 50, pooled=True)
    plan.add(again)
    assert (again, 0, 50, True) in take(plan)
