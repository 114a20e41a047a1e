"""`script/bench train`: its sides take steps of the same training."""

import math

import pytest
from benches import train_sides


@pytest.mark.parametrize("side", train_sides.SIDES)
def test_each_side_learns_and_keeps_its_loss_in_numbers(side, folder, monkeypatch):
    monkeypatch.setattr(train_sides, "MODEL", folder)
    step = train_sides.SIDES[side]()
    losses = [step(number) for number in range(3)]
    assert all(math.isfinite(loss) and loss > 0 for loss in losses)
    assert len(set(losses)) == 3
