"""Processes that fork while other threads are inside calls: the child can use every object."""

import multiprocessing
import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="no fork on this system"
)

FORKS = """
import os, signal, sys, threading, time, warnings
import numpy as np
import pyrnn

warnings.simplefilter("ignore")  # newer Pythons warn of what is tested here

def random(*shape):
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)

sys.setswitchinterval(1e-4)
pyrnn.set_num_threads(2)
layer = pyrnn.GRU(16, 64, seed=0)
both = pyrnn.LSTM(16, 64, bidirectional=True, seed=0)
packed = pyrnn.LSTM(64, 200, 2, seed=0).eval()
stream, other = packed.stream(2), packed.stream(8)
linear = pyrnn.Linear(128, 300, seed=0)
embedding = pyrnn.Embedding(50, 300, seed=0)
x, rows, tokens = random(50, 8, 16), random(200, 128), np.arange(5000) % 50
parameters = {"w": random(100_000)}
optimiser = pyrnn.Adam(parameters)

def train(layer, *arguments):
    y, *_, cache = layer.forward(*arguments)
    return y, layer.backward(cache, y)

def at_once():
    y, _, cache = layer.forward(x, checkpoint=10)
    layer.backward(cache, y)

CALLS = [
    lambda: stream.step(np.zeros((2, 64), "float32")),
    lambda: other.step(np.zeros((8, 64), "float32")),
    lambda: (stream.state, other.state),
    lambda: setattr(stream, "state", stream.state),
    lambda: train(layer, x),
    lambda: train(both, x),
    at_once,
    lambda: packed(random(3, 2, 64)),
    lambda: train(linear, rows),
    lambda: train(embedding, tokens),
    lambda: optimiser.step({"w": parameters["w"] * 0.5}),
    lambda: pyrnn.clip_grad_norm({"w": parameters["w"]}, 1.0),
]
expected = train(layer, x)[0]
done = threading.Event()

def repeat(call):
    while not done.is_set():
        call()

def in_child():
    for call in CALLS:
        call()
    assert np.array_equal(train(layer, x)[0], expected)
    h, c = stream.state
    fresh = packed.stream(2)
    fresh.state = (h, c)
    zero = np.zeros((2, 64), "float32")
    assert np.array_equal(fresh.step(zero), stream.step(zero))

threads = [threading.Thread(target=repeat, args=(call,)) for call in CALLS]
for thread in threads:
    thread.start()
codes = []
for _ in range(int(sys.argv[1])):
    child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.alarm(60)
            in_child()
            code = 0
        finally:
            os._exit(code)
    codes.append(os.waitpid(child, 0)[1])
done.set()
for thread in threads:
    thread.join()
print(codes)
"""


@pytest.mark.parametrize("count", [15, pytest.param(500, marks=pytest.mark.long)])
def test_a_child_can_use_every_object(run_python, count):
    result = run_python("-c", FORKS, count)
    assert result.stdout.strip() == str([0] * count), result.stderr


IN_HANDLER = """
import os, signal, threading
import numpy as np
import pyrnn

pyrnn.set_num_threads(2)
layer = pyrnn.LSTM(16, 64, bidirectional=True, seed=0)
x = np.random.default_rng(0).standard_normal((60_000, 2, 16), dtype=np.float32)
short = layer(x[:20])[0]
expected = layer(x)[0]
children = []

def fork(*_):
    if not children:
        children.append(os.fork())

signal.signal(signal.SIGUSR1, fork)
threading.Timer(0.15, os.kill, (os.getpid(), signal.SIGUSR1)).start()
code = 1
try:
    signal.alarm(120)
    same = np.array_equal(layer(x)[0], expected)
    while not children:
        pass
    code = 0 if same else 2
except RuntimeError as error:
    assert children == [0] and "forked" in str(error)
    code = 0
if children == [0]:
    if not np.array_equal(layer(x[:20])[0], short):
        code = 3
    os._exit(code)
print(os.waitpid(children[0], 0)[1], code)
"""


def test_a_handler_may_fork_amid_a_call(run_python):
    """The parent's call goes on; the child's ends with an error, as it has nobody to finish it."""
    result = run_python("-c", IN_HANDLER)
    assert result.stdout.split() == ["0", "0"], result.stderr


FIRST_USE = """
import os, sys, threading, time, warnings
import numpy as np
import pyrnn

warnings.simplefilter("ignore")  # newer Pythons warn of what is tested here

class Slow:
    def find_spec(self, name, path=None, target=None):
        if name == WAITED_FOR:
            begun.set()
            time.sleep(0.3)

begun = threading.Event()
sys.meta_path.insert(0, Slow())
def use():
    pyrnn.LSTM(3, 4)(np.zeros((2, 1, 3), np.float32))
thread = threading.Thread(target=use)
thread.start()
begun.wait()
child = os.fork()
if child == 0:
    use()
    os._exit(0)
thread.join()
for _ in range(100):
    ended, status = os.waitpid(child, os.WNOHANG)
    if ended:
        break
    time.sleep(0.1)
else:
    os.kill(child, 9)
print(os.waitstatus_to_exitcode(status) if ended else "hangs")
"""


@pytest.mark.parametrize(
    "module", ["pyrnn.layers.recurrent.lstm", "pyrnn.backend.native", "pyrnn._core"]
)
def test_a_fork_while_another_thread_imports(run_python, module):
    """Modules are imported at first use: the child must not wait for the thread that does it."""
    done = run_python("-c", f"WAITED_FOR = {module!r}" + FIRST_USE)
    assert done.stdout == "0\n", done.stderr


SOURCES = Path(__file__).parents[3] / "src" / "cpp"
STATIC = re.compile(
    r"^ +static (?!constexpr\b)[^()=;{}]*?\b(\w+)(?:\[[^\]=]*\])? ?(?:= ?([^;]*)|\{([^;]*)\})?;",
    re.M,
)
MADE_AT_IMPORT = {"arrays.hpp found", "unlisted.hpp entered", "memory.cpp pool"}


def made_at_first_use(source):
    """Names of a function's static variables that are not constants from the start."""
    for name, *values in STATIC.findall(source):
        value = "".join(values)
        constant = re.fullmatch(r"-?\d*|nullptr|false|true|\{[^()]*\}", value)
        if not constant and not name.endswith("_"):  # else a member's declaration
            yield name


def test_statics_made_at_first_use_are_found():
    source = """
  static const bool a = f();
  static Thing b{g(1)};
  static const X& c = *make({1});
  static Y* const d[2] = {h(), 0};
  static int known = -1;
  static constexpr int size = f();
  static const T zeros[4 * V::lanes] = {};
  static std::uint16_t tiles_[8];
  static V load(const T* p) { return {f(p)}; }
"""
    assert list(made_at_first_use(source)) == ["a", "b", "c", "d"]


def test_no_static_is_made_at_first_use():
    """The compiler locks one that is: a fork while a thread makes it would leave it locked.

    ``make_statics`` in module.cpp makes some as the module is imported, or they are made there
    anyway. Others are `Found`.
    """
    files = [*SOURCES.rglob("*.hpp"), *SOURCES.rglob("*.cpp")]
    made = {f"{f.name} {name}" for f in files for name in made_at_first_use(f.read_text())}
    assert made == MADE_AT_IMPORT
    assert not [f for f in files if re.search(r"call_once|once_flag", f.read_text())]
