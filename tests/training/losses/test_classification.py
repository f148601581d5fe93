"""Cross-entropies: by hand, by finite differences, at the edges of the numbers."""

import math

import numpy as np
import pytest

from pyrnn import losses, softmax_cross_entropy


def test_two_rows_by_hand(backend):
    logits = np.log(np.array([[1.0, 2.0, 5.0], [3.0, 3.0, 2.0]]))  # probabilities in eighths
    loss, dlogits = softmax_cross_entropy(logits, [2, 0])
    assert loss == pytest.approx(-(math.log(5 / 8) + math.log(3 / 8)) / 2, rel=1e-14)
    expected = np.array([[1, 2, -3], [-5, 3, 2]]) / 16
    np.testing.assert_allclose(dlogits, expected, rtol=1e-13)


def test_sum_is_mean_times_rows(backend):
    logits = np.random.default_rng(0).standard_normal((4, 3, 5))
    targets = np.random.default_rng(1).integers(0, 5, (4, 3))
    mean, dmean = softmax_cross_entropy(logits, targets)
    total, dtotal = softmax_cross_entropy(logits, targets, "sum")
    assert total == pytest.approx(12 * mean, rel=1e-14)
    np.testing.assert_allclose(dtotal, 12 * dmean, rtol=1e-13)


@pytest.mark.parametrize("shape", [(5,), (4, 5), (2, 3, 5), (3, 1)])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_gradient_agrees_with_finite_differences(shape, reduction, backend):
    generator = np.random.default_rng(0)
    logits = 3 * generator.standard_normal(shape)
    targets = generator.integers(0, shape[-1], shape[:-1])
    _, dlogits = softmax_cross_entropy(logits, targets, reduction)
    assert dlogits.shape == shape
    for index in np.ndindex(shape):
        losses = []
        for sign in (1, -1):
            moved = logits.copy()
            moved[index] += sign * 1e-5
            losses.append(softmax_cross_entropy(moved, targets, reduction)[0])
        assert dlogits[index] == pytest.approx((losses[0] - losses[1]) / 2e-5, abs=1e-9)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_large_logits_do_not_overflow(dtype, backend):
    logits = np.array([[1e4, 0, -1e4], [-1e30, 1e30, 0]], dtype)
    loss, dlogits = softmax_cross_entropy(logits, [0, 1])
    assert loss == 0
    assert not dlogits.any()
    loss, dlogits = softmax_cross_entropy(logits[:1], [2])
    assert loss == 2e4
    assert dlogits.tolist() == [[1, 0, -1]]


def test_other_memory_layouts_give_the_same(backend):
    logits, targets = np.random.default_rng(0).standard_normal((4, 5)), np.array([0, 4, 2, 2])
    loss, dlogits = softmax_cross_entropy(logits, targets)
    doubled = np.repeat(logits, 2, axis=1)[:, ::2]
    for other in (np.asfortranarray(logits), doubled, logits[::-1].copy()[::-1]):
        other_loss, other_dlogits = softmax_cross_entropy(other, np.repeat(targets, 2)[::2])
        assert other_loss == pytest.approx(loss, rel=1e-14)
        np.testing.assert_allclose(other_dlogits, dlogits, rtol=1e-13)


def test_minus_infinity_masks_a_class(backend):
    loss, dlogits = softmax_cross_entropy(np.array([[0.0, -np.inf, 0.0]]), [0])
    assert loss == pytest.approx(math.log(2))
    assert dlogits.tolist() == [[-0.5, 0, 0.5]]


def test_adding_a_number_to_a_row_changes_nothing(backend):
    logits = np.random.default_rng(0).standard_normal((4, 5))
    loss, dlogits = softmax_cross_entropy(logits, [0, 1, 2, 3])
    moved_loss, moved = softmax_cross_entropy(logits + 100, [0, 1, 2, 3])
    assert moved_loss == pytest.approx(loss, rel=1e-13)
    np.testing.assert_allclose(moved, dlogits, rtol=1e-11)


def test_sum_is_accumulated_in_float64(backend):
    """A running float32 sum of a million times ln 2 would be off by 1e-3."""
    rows = 1_000_000
    loss, _ = softmax_cross_entropy(np.zeros((rows, 2), np.float32), np.zeros(rows, int), "sum")
    assert loss == pytest.approx(rows * math.log(2), rel=1e-7)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_types(dtype, backend):
    logits = np.zeros((3, 4), dtype)
    loss, dlogits = softmax_cross_entropy(logits, np.zeros(3, np.uint8))
    assert type(loss) is float
    assert dlogits.dtype == np.dtype(dtype)
    assert not logits.any()
    swapped, _ = softmax_cross_entropy(logits.astype(logits.dtype.newbyteorder()), [0, 0, 0])
    assert swapped == loss


def test_agrees_with_torch(backend):
    torch = pytest.importorskip("torch")
    generator = np.random.default_rng(0)
    logits, targets = generator.standard_normal((6, 7)), generator.integers(0, 7, 6)
    scores = torch.tensor(logits, requires_grad=True)
    expected = torch.nn.functional.cross_entropy(scores, torch.tensor(targets))
    expected.backward()
    loss, dlogits = softmax_cross_entropy(logits, targets)
    assert loss == pytest.approx(expected.item(), rel=1e-14)
    np.testing.assert_allclose(dlogits, scores.grad.numpy(), rtol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((np.zeros((2, 3)), [0, 3]), ValueError, r"targets: expected indices in \[0, 3\), got 3"),
        ((np.zeros((2, 3)), [0, -1]), ValueError, r"targets: expected indices .* got -1"),
        ((np.zeros((2, 3)), [0]), ValueError, r"targets: expected shape \(2,\), got \(1,\)"),
        ((np.zeros((2, 3)), [0.0, 1.0]), TypeError, "targets: expected an integer array"),
        ((np.zeros((2, 3), int), [0, 1]), TypeError, "logits: expected float32 or float64, got"),
        ((np.zeros((2, 3), "f2"), [0, 1]), TypeError, "logits: .* got float16"),
        (("scores", [0]), TypeError, "logits: expected float32 or float64, got <U6"),
        ((np.float64(1), 0), ValueError, r"logits: expected shape \(\.\.\., V\) .* got \(\)"),
        ((np.zeros((0, 3)), []), ValueError, r"logits: .* with a row or more, got \(0, 3\)"),
        ((np.zeros((2, 0)), [0, 0]), ValueError, r"logits: .* got \(2, 0\)"),
        ((np.zeros((2, 3)), [0, 1], "max"), ValueError, "reduction: .* got 'max'"),
    ],
    ids=str,
)
def test_wrong_arguments(arguments, error, message, backend):
    with pytest.raises(error, match=message):
        softmax_cross_entropy(*arguments)


# --- cross_entropy with torch's options -----------------------------------------------------


def test_plain_cross_entropy_is_softmax_cross_entropy(backend):
    generator = np.random.default_rng(0)
    logits, targets = generator.standard_normal((3, 4, 5)), generator.integers(0, 5, (3, 4))
    for reduction in ("mean", "sum"):
        expected = softmax_cross_entropy(logits, targets, reduction)
        loss, dlogits = losses.cross_entropy(logits, targets, reduction=reduction)
        assert loss == expected[0]
        assert np.array_equal(dlogits, expected[1])


def test_ignored_rows_are_as_if_they_were_not_there(backend):
    logits = np.random.default_rng(0).standard_normal((4, 5))
    loss, dlogits = losses.cross_entropy(logits, [1, -100, 4, -100])
    alone, dalone = losses.cross_entropy(logits[[0, 2]], [1, 4])
    assert loss == alone
    assert np.array_equal(dlogits[[0, 2]], dalone)
    assert not dlogits[[1, 3]].any()


def test_all_ignored_is_nothing_for_the_sum_and_refused_for_the_mean(backend):
    logits = np.ones((2, 3))
    loss, dlogits = losses.cross_entropy(logits, [-100, -100], reduction="sum")
    assert (loss, dlogits.any()) == (0, False)
    with pytest.raises(ValueError, match="expected an element that counts for the mean, got none"):
        losses.cross_entropy(logits, [-100, -100])


def test_large_logits_with_smoothing_do_not_overflow(backend):
    loss, dlogits = losses.cross_entropy(np.array([[1e4, 0.0]], "f"), [0], label_smoothing=0.1)
    assert loss == pytest.approx(500.0)
    assert np.isfinite(dlogits).all()
    loss, dlogits = losses.binary_cross_entropy_with_logits(np.array([1e4, -1e4]), np.array([0, 1]))
    assert loss == 1e4
    assert dlogits.tolist() == [0.5, -0.5]


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"weight": [1.0, 2.0]}, ValueError, r"weight: expected a number or shape \(3,\), got"),
        ({"weight": 2.0}, ValueError, r"weight: expected shape \(3,\), got \(\)"),
        ({"weight": [1.0, -1.0, 0.0]}, ValueError, "weight: expected finite numbers of at least 0"),
        ({"weight": "abc"}, TypeError, "weight: expected numbers, got dtype"),
        ({"label_smoothing": 1.5}, ValueError, r"label_smoothing: expected a number in \[0.0, 1.0"),
        ({"ignore_index": 0.5}, TypeError, "ignore_index: expected a whole number, got 0.5"),
    ],
)
def test_wrong_options_of_cross_entropy(options, error, words):
    with pytest.raises(error, match=words):
        losses.cross_entropy(np.zeros((2, 3)), [0, 1], **options)


def test_wrong_targets_of_cross_entropy():
    with pytest.raises(ValueError, match=r"targets: expected indices in \[0, 3\), got -100"):
        losses.cross_entropy(np.zeros((2, 3)), [0, -100], ignore_index=None)
    with pytest.raises(TypeError, match="targets: expected an integer array, got float64"):
        losses.cross_entropy(np.zeros((2, 3)), np.zeros(2))


def test_chances_outside_their_range():
    with pytest.raises(ValueError, match=r"targets: expected numbers in \[0, 1\], got others"):
        losses.binary_cross_entropy_with_logits(np.zeros(2), np.array([0.0, 1.5]))
    with pytest.raises(TypeError, match="targets: expected numbers"):
        losses.binary_cross_entropy_with_logits(np.zeros(2), np.array(["a", "b"]))
    value, _ = losses.binary_cross_entropy_with_logits(np.zeros(2), np.array([True, False]))
    assert value == pytest.approx(math.log(2))


@pytest.mark.parametrize("weighted", [False, True])
def test_rows_whose_class_is_nearly_certain(weighted, backend):
    """With two classes the loss is ln(1 + e^-d), its gradient -1 / (1 + e^d), down to 1e-300."""
    above = np.concatenate([np.linspace(-40, 40, 161), [100.0, 300.0, 690.0]])
    logits = np.stack([np.zeros_like(above), above], axis=1)
    options = {"weight": np.array([0.5, 3.0])} if weighted else {}
    targets = np.ones(len(above), int)
    loss, dlogits = losses.cross_entropy(logits, targets, reduction="none", **options)
    scale = 3.0 if weighted else 1.0
    expected = scale * np.where(
        above > 0, np.log1p(np.exp(-above)), np.log1p(np.exp(above)) - above
    )
    np.testing.assert_allclose(loss, expected, rtol=1e-13, atol=0)
    np.testing.assert_allclose(dlogits[:, 1], -scale / (1 + np.exp(above)), rtol=1e-13, atol=0)
    np.testing.assert_allclose(dlogits.sum(axis=1), 0, atol=1e-15)


@pytest.mark.parametrize(("dtype", "rounding"), [("float32", 1e-6), ("float64", 1e-14)])
@pytest.mark.parametrize("classes", [1, 2, 9, 40])
def test_a_nearly_certain_class_among_many(classes, dtype, rounding, backend):
    """The loss is ln(1 + r), its gradient -r / (1 + r), with r the other exponentials."""
    generator = np.random.default_rng(classes)
    for above in (0.0, 1.0, 4.0, 12.0, 30.0, 80.0):
        target = int(generator.integers(classes))
        logits = generator.uniform(-above - 2, -above, classes).astype(dtype)
        others = math.fsum(map(math.exp, np.delete(logits, target).tolist()))
        logits[target] = 0
        loss, dlogits = softmax_cross_entropy(logits, target)
        assert loss == pytest.approx(math.log1p(others), rel=rounding, abs=0)
        assert dlogits[target] == pytest.approx(-others / (1 + others), rel=rounding, abs=0)


def test_a_row_with_infinity_or_nan_says_nan(backend):
    for wrong in (np.inf, np.nan):
        logits = np.array([[0.0, wrong, 1.0]])
        for target in range(3):
            loss, dlogits = losses.cross_entropy(logits, [target], reduction="none")
            assert np.isnan(loss).all()
            assert np.isnan(dlogits).all()
