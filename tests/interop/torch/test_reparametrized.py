"""Weights that torch stores as what they are computed from: as modules have them in eval mode."""

import numpy as np
import pytest

from pyrnn.interop import conversion
from pyrnn.interop.torch import from_state_dict

torch = pytest.importorskip("torch")

from torch.nn.utils import parametrizations, prune  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


class WeightDropout(torch.nn.Module):
    """As AWD-LSTM and fastai have it: the raw weight is here, or in the module."""

    def __init__(self, within, kept):
        super().__init__()
        self.module = torch.nn.LSTM(3, 4)
        raw = torch.nn.Parameter(self.module.weight_hh_l0.detach().clone())
        (self.module if within else self).register_parameter("weight_hh_l0_raw", raw)
        if kept:  # with dropped weights, as after a step of training
            self.module.weight_hh_l0.data *= 0
        else:
            del self.module._parameters["weight_hh_l0"]
            self.module.weight_hh_l0 = raw.detach()
        self.raw = raw.detach()

    def forward(self, x):
        self.module._flat_weights[1] = self.raw
        return self.module(x)


def of(change):
    def make():
        lstm = torch.nn.LSTM(3, 4)
        for name in ("weight_hh_l0", "weight_ih_l0"):
            change(lstm, name)
        return lstm

    return make


MODULES = {
    "weight_norm": of(parametrizations.weight_norm),
    "weight_norm, columns": of(lambda m, name: parametrizations.weight_norm(m, name, dim=1)),
    "weight_norm, whole": of(lambda m, name: torch.nn.utils.weight_norm(m, name, dim=None)),
    "weight_norm, older": of(torch.nn.utils.weight_norm),
    "spectral_norm": of(parametrizations.spectral_norm),
    "spectral_norm, older": of(torch.nn.utils.spectral_norm),
    "pruning": of(lambda m, name: prune.random_unstructured(m, name, 0.5)),
    "dropout of AWD-LSTM": lambda: WeightDropout(within=True, kept=False),
    "dropout of fastai": lambda: WeightDropout(within=False, kept=True),
    "dropout of older fastai": lambda: WeightDropout(within=False, kept=False),
}


@pytest.mark.parametrize("name", MODULES)
def test_as_the_module_computes(name):
    module = MODULES[name]()
    x = torch.randn(5, 2, 3)
    for _ in range(3):
        module(x)  # in train mode, as it moves the vectors of spectral_norm
    expected = module.eval()(x)[0].detach()
    state = {f"net.{key}": value for key, value in module.state_dict().items()}
    prefix = "net.module" if "dropout" in name else "net"
    layer = from_state_dict(state, prefix)
    assert repr(layer) == "LSTM(3, 4)"
    np.testing.assert_allclose(layer(x.numpy())[0], expected.numpy(), rtol=0, atol=2e-6)


def test_files_have_nothing_else(tmp_path):
    for number, make in enumerate(MODULES.values()):
        path = tmp_path / f"{number}.pt"
        torch.save(make().state_dict(), path)
        found = conversion.read(path)
        assert [repr(layer) for layer in found.layers.values()] == ["LSTM(3, 4)"]
        assert not found.refused


def test_a_convolution():
    conv = parametrizations.weight_norm(torch.nn.Conv1d(3, 4, 2))
    layer = from_state_dict(conv.state_dict(), kind="Conv1d")
    np.testing.assert_allclose(layer.parameters["weight"], conv.weight.detach(), atol=1e-6)


@pytest.mark.parametrize(
    "shapes",
    [
        {"weight_g": (4, 3), "weight_v": (4, 3)},  # no lengths
        {"weight_g": (2, 1), "weight_v": (4, 3)},
        {"weight_g": (4,), "weight_v": (4, 3)},
        {"weight_g": (4, 1), "weight_v": (4, 3), "weight": (2, 2)},  # there already
        {"w_g": (4, 1), "w_v": (4, 3)},
        {"x_raw": (4, 3)},
        {"weight_orig": (4, 3), "weight_mask": (4, 1)},
        {"weight_orig": (4, 3), "weight_u": (3,), "weight_v": (4,)},
        {"weight_orig": (), "weight_u": (), "weight_v": ()},
        {"parametrizations.weight.original0": (4, 3), "parametrizations.weight.original1": (4, 3)},
        {"parametrizations.weight.original": (4, 3)},
        {"weight_g": (4, 1)},
    ],
)
def test_other_arrays_stay_as_they_are(shapes):
    from pyrnn.interop.torch import _names

    state = {name: np.ones(shape, np.float32) for name, shape in shapes.items()}
    found = _names.flat(state)
    assert list(found) == list(state)
    assert all(found[name] is state[name] for name in state)


def test_whole_numbers_stay_as_they_are():
    from pyrnn.interop.torch import _names

    state = {"weight_g": np.ones((4, 1), int), "weight_v": np.ones((4, 3), int)}
    assert _names.flat(state) == state


def test_one_memory_under_many_names_is_refused():
    base = np.ones((1000, 1000), np.float32)
    state = {f"{n}.weight_v": base[:, :] for n in range(9)}
    state |= {f"{n}.weight_g": np.ones((1000, 1), np.float32) for n in range(9)}
    with pytest.raises(ValueError, match="expected each weight once"):
        from_state_dict(state, "0")


def test_tensors_of_half_width_are_widened():
    state = {"weight_v": torch.ones(1000, 1000).half(), "weight_g": torch.ones(1000, 1).half()}
    layer = from_state_dict(state)
    assert repr(layer) == "Linear(1000, 1000, bias=False)"
    np.testing.assert_allclose(layer.parameters["weight"], 1000**-0.5, rtol=1e-6)
