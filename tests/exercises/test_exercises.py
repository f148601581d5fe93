"""python -m pyrnn.exercises: stubs are written once, right answers pass, wrong ones get hints."""

import ast

import pytest

from pyrnn.exercises.__main__ import main, stub
from pyrnn.exercises.tasks import TASKS

CELL = """
def rnn_cell_backward(da_next, cache):
    a_next, a_prev, xt, p = cache
    dz = da_next * (1 - a_next**2)
    return {
        "dxt": p["Wax"].T @ dz, "da_prev": p["Waa"].T @ dz,
        "dWax": dz @ xt.T, "dWaa": dz @ a_prev.T, "dba": dz.sum(axis=1, keepdims=True),
    }
"""
BPTT = """
def rnn_backward(da, caches):
    cells, x = caches
    dx, carried, total = np.zeros(x.shape), np.zeros(da.shape[:2]), [0, 0, 0]
    for t in reversed(range(da.shape[2])):
        a_next, a_prev, xt, p = cells[t]
        dz = (da[:, :, t] + carried) * (1 - a_next**2)
        total[0] += dz @ xt.T
        total[1] += dz @ a_prev.T
        total[2] += dz.sum(axis=1, keepdims=True)
        dx[:, :, t], carried = p["Wax"].T @ dz, p["Waa"].T @ dz
    return {"dx": dx, "da0": carried, "dWax": total[0], "dWaa": total[1], "dba": total[2]}
"""
OUTPUT = """
def loss_and_gradients(a, targets, parameters):
    z = parameters["Wya"] @ a + parameters["by"]
    e = np.exp(z - z.max(axis=0))
    y = e / e.sum(axis=0)
    columns = np.arange(a.shape[1])
    error = y.copy()
    error[targets, columns] -= 1
    loss = -np.log(y[targets, columns]).sum()
    return loss, {"dWya": error @ a.T, "dby": error.sum(axis=1, keepdims=True)}
"""
TRUNCATION = """
def truncated_backward(da, caches, k):
    cells, x = caches
    total = [0, 0, 0]
    for t in range(da.shape[2]):
        carried = da[:, :, t]
        for s in range(t, max(t - k, -1), -1):
            a_next, a_prev, xt, p = cells[s]
            dz = carried * (1 - a_next**2)
            total[0] = total[0] + dz @ xt.T
            total[1] = total[1] + dz @ a_prev.T
            total[2] = total[2] + dz.sum(axis=1, keepdims=True)
            carried = p["Waa"].T @ dz
    return {"dWax": total[0], "dWaa": total[1], "dba": total[2]}
"""
LSTM = """
def lstm_cell_backward(da_next, dc_next, cache):
    a_next, c_next, a_prev, c_prev, f, i, g, o, xt, p = cache
    tanh_c = np.tanh(c_next)
    dc = dc_next + da_next * o * (1 - tanh_c**2)
    dz = {
        "f": dc * c_prev * f * (1 - f), "i": dc * g * i * (1 - i),
        "c": dc * i * (1 - g**2), "o": da_next * tanh_c * o * (1 - o),
    }
    joint, n = np.concatenate([a_prev, xt]), len(a_prev)
    below = sum(p["W" + gate].T @ dz[gate] for gate in dz)
    found = {"dW" + gate: dz[gate] @ joint.T for gate in dz}
    found |= {"db" + gate: dz[gate].sum(axis=1, keepdims=True) for gate in dz}
    return {"dxt": below[n:], "da_prev": below[:n], "dc_prev": dc * f, **found}
"""
RESIDUAL = """
def step(x, h, p):
    return h + SCALE * np.tanh(x @ p["W"].T + h @ p["U"].T)

def step_backward(dh_next, x, h, p):
    g = np.tanh(x @ p["W"].T + h @ p["U"].T)
    dz = SCALE * dh_next * (1 - g**2)
    return dz @ p["W"], dh_next + dz @ p["U"], {"W": dz.T @ x, "U": dz.T @ h}
"""
ANSWERS = {
    "cell": CELL,
    "bptt": BPTT,
    "output": OUTPUT,
    "truncation": TRUNCATION,
    "lstm": LSTM,
    "residual": "SCALE = 1 / 60\n" + RESIDUAL,
}


@pytest.fixture
def answer(tmp_path, monkeypatch, capsys):
    """Run an exercise on an answer: the exit status and what is printed."""
    monkeypatch.chdir(tmp_path)

    def run(name, text):
        (tmp_path / f"exercise_{name}.py").write_text(f"import numpy as np\n{text}")
        return main([name]), capsys.readouterr().out

    return run


@pytest.mark.parametrize("name", TASKS)
def test_right_answers_pass(name, answer):
    assert answer(name, ANSWERS[name]) == (0, "Right.\n")


@pytest.mark.parametrize(
    ("name", "right", "wrong", "hint"),
    [
        ("cell", "1 - a_next**2", "(1 - a_next)**2", "activation"),
        ("cell", ".sum(axis=1, keepdims=True)", ".mean(axis=1, keepdims=True)", "batch sum"),
        ("bptt", "(da[:, :, t] + carried)", "da[:, :, t]", "carry"),
        ("bptt", "total[0] += dz @ xt.T", "total[0] = dz @ xt.T", "accumulation"),
        ("bptt", 'p["Waa"].T @ dz', 'p["Waa"] @ dz', "transpose"),
        ("output", "-= 1", "-= 2", "output layer"),
        ("truncation", "max(t - k, -1)", "max(t - k - 1, -1)", "4 steps instead of 3"),
        ("truncation", "max(t - k, -1)", "-1", "all steps"),
        ("truncation", "max(t - k, -1)", "(t // k) * k - 1", "chunks of 3"),
        ("lstm", "dc * i * (1 - g**2)", "dc * i * (1 - g)", "activation"),
        ("residual", "1 / 60", "1", "explosion"),
        ("residual", "h + SCALE", "0 * h + SCALE", "transpose|activation|carry"),
        ("residual", "dh_next + dz", "dz", "carry|transpose|activation"),
    ],
)
def test_wrong_answers_get_a_hint(name, right, wrong, hint, answer):
    assert right in ANSWERS[name]
    status, out = answer(name, ANSWERS[name].replace(right, wrong))
    assert status == 1
    assert any(part in out for part in hint.split("|")), out


def test_a_vanishing_answer_gets_a_hint(answer):
    text = ANSWERS["residual"].replace("h + SCALE", "0.5 * h + SCALE")
    status, out = answer("residual", text.replace("dh_next + dz", "0.5 * dh_next + dz"))
    assert status == 1
    assert out.startswith("vanishing: after 60 steps")


@pytest.mark.parametrize("name", TASKS)
def test_the_stub_is_written_once_and_is_not_filled_in(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([name]) == 0
    path = tmp_path / f"exercise_{name}.py"
    assert path.read_text() == stub(name)
    defined = {n.name for n in ast.parse(stub(name)).body if isinstance(n, ast.FunctionDef)}
    assert defined == set(TASKS[name].names)
    assert f"python -m pyrnn.exercises {name}" in stub(name)
    capsys.readouterr()
    assert main([name]) == 1
    assert capsys.readouterr().out == f"exercise_{name}.py: not filled in yet\n"
    assert path.read_text() == stub(name)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1", "expected a function rnn_cell_backward"),
        ("def rnn_cell_backward(da_next, cache):\n    return missing", "line 3: NameError"),
        ("def rnn_cell_backward(:", "SyntaxError"),
        ("def rnn_cell_backward(da_next, cache):\n    return [1]", "expected a dict of gradients"),
        (
            "def rnn_cell_backward(da_next, cache):\n    return {}",
            "not filled in yet: dxt, da_prev",
        ),
    ],
)
def test_errors_in_the_file_are_one_line(text, message, answer):
    status, out = answer("cell", text)
    assert status == 1
    assert message in out
    assert out.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "right", "left"),
    [
        ("cell", '"dxt": p["Wax"].T @ dz, ', ""),
        ("cell", 'p["Waa"].T @ dz', "..."),
        ("bptt", '"da0": carried', '"da0": None'),
        ("output", "error @ a.T", "..."),
        ("truncation", ', "dba": total[2]', ""),
        ("lstm", '"dc_prev": dc * f, ', ""),
        ("residual", ', "U": dz.T @ h', ""),
        ("residual", 'return dz @ p["W"],', "return ...,"),
    ],
)
def test_a_part_that_is_left_out_is_named(name, right, left, answer):
    assert right in ANSWERS[name]
    status, out = answer(name, ANSWERS[name].replace(right, left))
    assert status == 1
    assert out.startswith(f"exercise_{name}.py: not filled in yet: ")


def test_a_residual_network_without_a_network_is_refused(answer):
    text = """
def step(x, h, p):
    return 1.0 * h

def step_backward(dh_next, x, h, p):
    return 0 * x, 1.0 * dh_next, {"W": 0 * p["W"], "U": 0 * p["U"]}
"""
    status, out = answer("residual", text)
    assert status == 1
    assert out.startswith("step does not depend on W and U")


def test_without_a_name_all_are_listed(capsys):
    assert main([]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(TASKS)
