"""The order of samples depends on seed and step alone."""

from __future__ import annotations

import pytest
from vicuna_trainer.order import DataOrder, permutation


@pytest.mark.parametrize(("samples", "batch"), [(40, 4), (41, 4), (3, 8), (8, 8), (1, 1), (1000, 128)])
def test_each_epoch_has_every_sample_once(samples, batch):
    order = DataOrder(samples, batch, seed=5)
    for epoch in range(3):
        steps = range(epoch * order.steps_per_epoch + 1, (epoch + 1) * order.steps_per_epoch + 1)
        used = [index for step in steps for index in order.of_step(step)]
        assert sorted(used) == list(range(samples))
        assert {order.epoch_of(step) for step in steps} == {epoch}


@pytest.mark.parametrize("world_size", [1, 2, 3, 4, 7, 16])
def test_ranks_share_a_step_without_overlap(world_size):
    order = DataOrder(41, 8, seed=5)
    for step in range(1, 13):
        shares = [order.of_rank(step, rank, world_size) for rank in range(world_size)]
        assert sorted(index for share in shares for index in share) == sorted(order.of_step(step))
        assert max(map(len, shares)) == order.longest_share(step, world_size)


def test_epochs_and_seeds_differ_and_the_order_never_changes():
    assert permutation(10, 1, 0) != permutation(10, 1, 1) != permutation(10, 2, 1)
    # A change of these numbers would break the resumption of every training under way.
    assert permutation(10, 42, 0) == (2, 8, 4, 6, 5, 3, 1, 9, 7, 0)


def test_total_steps():
    order = DataOrder(41, 8, seed=5)
    assert order.total_steps(3, None) == 18
    assert order.total_steps(0.5, None) == 3
    assert order.total_steps(3, 7) == 7
