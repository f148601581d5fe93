"""What all losses promise: torch's values, finite differences, masks, lengths, reductions."""

import numpy as np
import pytest

from pyrnn import losses

TOLERANCE = {"float64": 1e-12, "float32": 2e-6}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_agrees_with_torch(example, reduction, dtype, backend):
    torch = pytest.importorskip("torch")
    if example.torch is None:  # torch has no such loss
        return
    y, targets = example.draw(np.random.default_rng(0), (6, 4), dtype)
    value, gradient = example.loss(y, targets, reduction=reduction)
    assert gradient.dtype == y.dtype
    wide = torch.tensor(y, dtype=torch.float64, requires_grad=True)
    wanted = targets if targets.dtype.kind in "iu" else targets.astype("float64")
    expected = example.torch(wide, torch.tensor(wanted), reduction)
    (dexpected,) = torch.autograd.grad(expected.sum(), wide)
    np.testing.assert_allclose(
        np.ravel(value), expected.detach().numpy().ravel(), rtol=TOLERANCE[dtype], atol=1e-12
    )
    np.testing.assert_allclose(gradient, dexpected.numpy(), rtol=TOLERANCE[dtype], atol=1e-7)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_gradient_agrees_with_finite_differences(example, reduction, backend):
    generator = np.random.default_rng(1)
    y, targets = example.draw(generator, (3, 2), "float64")
    mask = np.array([[True, True], [False, True], [True, True]])
    options = {"reduction": reduction, "mask": mask, "lengths": [3, 2]}
    _, gradient = example.loss(y, targets, **options)
    assert gradient.shape == y.shape
    for index in np.ndindex(y.shape):
        values = []
        for sign in (1, -1):
            moved = y.copy()
            moved[index] += sign * 1e-6
            values.append(example.loss(moved, targets, **options)[0])
        assert gradient[index] == pytest.approx((values[0] - values[1]) / 2e-6, abs=1e-8)


def test_what_does_not_count_is_as_if_it_were_not_there(example, backend):
    """Values beyond the lengths may even be NaN."""
    generator = np.random.default_rng(2)
    y, targets = example.draw(generator, (4, 3), "float64")
    lengths = np.array([4, 1, 3])
    counted = np.arange(4)[:, None] < lengths
    y[~counted] = np.nan
    alone_value, alone = example.loss(y[counted], targets[counted])
    for given in (
        {"lengths": lengths},
        {"mask": counted},
        {"mask": counted | (np.arange(3) == 0), "lengths": lengths},
    ):
        value, gradient = example.loss(y, targets, **given)
        assert value == pytest.approx(alone_value, rel=1e-13)
        np.testing.assert_allclose(gradient[counted], alone, rtol=1e-13)
        assert not gradient[~counted].any()
    by_row, targets_by_row = y.swapaxes(0, 1), targets.swapaxes(0, 1)
    value, gradient = example.loss(by_row, targets_by_row, lengths=lengths, batch_first=True)
    assert value == pytest.approx(alone_value, rel=1e-13)
    assert not gradient.swapaxes(0, 1)[~counted].any()


def test_none_is_each_element_alone(example, backend):
    y, targets = example.draw(np.random.default_rng(3), (2, 3), "float64")
    mask = np.array([[True, False, True], [True, True, True]])
    each, gradient = example.loss(y, targets, reduction="none", mask=mask)
    total, summed = example.loss(y, targets, reduction="sum", mask=mask)
    assert each.dtype == np.float64
    assert each.shape[:2] == (2, 3)
    assert not each[~mask].any()
    assert each.sum() == pytest.approx(total, rel=1e-13)
    np.testing.assert_allclose(gradient, summed, rtol=1e-13)


def test_a_row_does_not_depend_on_its_batch(example, backend):
    y, targets = example.draw(np.random.default_rng(4), (5, 7), "float32")
    each, gradient = example.loss(y, targets, reduction="none")
    for row in range(7):
        rows = slice(row, row + 1)
        alone, dalone = example.loss(y[:, rows], targets[:, rows], reduction="none")
        assert np.array_equal(alone, each[:, rows])
        assert np.array_equal(dalone, gradient[:, rows])


def test_arguments_stay_as_they_are(example, backend):
    y, targets = example.draw(np.random.default_rng(5), (2, 3), "float32")
    before = y.copy(), targets.copy()
    _, gradient = example.loss(y, targets)
    assert np.array_equal(y, before[0])
    assert np.array_equal(targets, before[1])
    assert not np.shares_memory(gradient, y)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"reduction": "max"}, ValueError, "reduction: expected 'mean', 'sum' or 'none', got 'max"),
        ({"mask": np.ones((2, 3))}, TypeError, "mask: expected dtype bool, got float64"),
        ({"mask": np.ones((3, 2), bool)}, ValueError, r"mask: expected shape .*got \(3, 2\)"),
        ({"mask": np.zeros((2, 3), bool)}, ValueError, "expected an element that counts for the m"),
        ({"lengths": [1, 2]}, ValueError, r"lengths: expected shape \(3,\), got \(2,\)"),
        ({"lengths": [1, 2, 3]}, ValueError, r"lengths: expected values in \[1, 2\]"),
        ({"batch_first": 1}, TypeError, "batch_first: expected True or False, got 1"),
    ],
)
def test_wrong_options(example, options, error, words):
    y, targets = example.draw(np.random.default_rng(6), (2, 3), "float64")
    with pytest.raises(error, match=words):
        example.loss(y, targets, **options)


def test_targets_of_another_shape(example):
    """Nothing is broadcast: (N, 1) against (N,) is the classic silent mistake."""
    y, targets = example.draw(np.random.default_rng(6), (2, 3), "float64")
    with pytest.raises(ValueError, match="targets: expected shape"):
        example.loss(y, targets[:1])


@pytest.mark.parametrize("loss", [losses.mse_loss, losses.l1_loss, losses.huber_loss])
def test_an_empty_output_is_refused(loss):
    with pytest.raises(ValueError, match=r"y: expected an element or more, got shape \(0,\)"):
        loss(np.zeros(0), np.zeros(0))


def test_large_errors_do_not_overflow_in_float32():
    y, targets = np.array([1e30], np.float32), np.array([-1e30], np.float32)
    value, _ = losses.mse_loss(y, targets)
    assert value == pytest.approx(4e60, rel=1e-6)


def test_sums_are_accumulated_in_float64():
    rows = 1_000_000
    y = np.full(rows, 0.1, np.float32)
    value, _ = losses.l1_loss(y, np.zeros_like(y), reduction="sum")
    assert value == pytest.approx(rows * float(np.float32(0.1)), rel=1e-12)


def test_a_mask_and_lengths_count_what_both_do(backend):
    generator = np.random.default_rng(0)
    y, targets = generator.standard_normal((2, 4, 3, 2))
    mask = generator.random((4, 3)) < 0.6
    within = np.arange(4)[:, None] < np.array([4, 1, 2])
    both, dy = losses.mse_loss(y, targets, mask=mask, lengths=[4, 1, 2])
    one, dy_one = losses.mse_loss(y, targets, mask=mask & within)
    assert both == one
    assert np.array_equal(dy, dy_one)
    assert not dy[~(mask & within)].any()
