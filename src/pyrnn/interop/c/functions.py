"""The C functions that exported models call: products, activations, and the units of each cell.

Each is written for float; `as_double` makes the same of it for float64. The equations are those of
`pyrnn.reference`. A model gets those that it calls, and those that these call. `exact.py` has what
int8 models take instead.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from pyrnn.interop.c.exact import HELPERS, INSTEAD

FUNCTIONS = {
    "add_product": """
/* y += W x, with W (rows, columns) */
static void add_product(size_t rows, size_t columns, const float *weight, const float *x, float *y)
{
    for (size_t row = 0; row < rows; ++row, weight += columns) {
        float sum = 0.0f;
        for (size_t column = 0; column < columns; ++column) sum += weight[column] * x[column];
        y[row] += sum;
    }
}
""",
    "add": """
/* y += x */
static void add(size_t count, const float *x, float *y)
{
    for (size_t i = 0; i < count; ++i) y[i] += x[i];
}
""",
    "widened_bfloat16": """
/* The number of which these are the upper 16 bits */
static float widened_bfloat16(uint16_t number)
{
    const uint32_t bits = (uint32_t)number << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}
""",
    "widened_float16": """
/* A number of 1, 5 and 10 bits, sign, exponent and digits */
static float widened_float16(uint16_t number)
{
    const uint32_t magnitude = number & 0x7fffu;
    const uint32_t bits = (magnitude << 13) + ((127u - 15u) << 23);
    float x;
    memcpy(&x, &bits, sizeof x);
    if (magnitude < 0x400u) x = (float)magnitude * 5.96046448e-8f;
    return number & 0x8000u ? -x : x;
}
""",
    "add_product_16": """
/* y += W x, with W (rows, columns) of 16 bits */
static void add_product_16(size_t rows, size_t columns, const uint16_t *weight, const float *x,
                           float *y)
{
    for (size_t row = 0; row < rows; ++row, weight += columns) {
        float sum = 0.0f;
        for (size_t column = 0; column < columns; ++column)
            sum += WIDENED(weight[column]) * x[column];
        y[row] += sum;
    }
}
""",
    "add_16": """
/* y += x, with x of 16 bits */
static void add_16(size_t count, const uint16_t *x, float *y)
{
    for (size_t i = 0; i < count; ++i) y[i] += WIDENED(x[i]);
}
""",
    "copy_16": """
static void copy_16(size_t count, const uint16_t *from, float *to)
{
    for (size_t i = 0; i < count; ++i) to[i] = WIDENED(from[i]);
}
""",
    "add_int8": """
/* y += x, which are whole numbers, with a scale for each */
static void add_int8(size_t count, const int8_t *x, const float *scales, float *y)
{
    for (size_t i = 0; i < count; ++i) y[i] += (float)x[i] * scales[i];
}
""",
    "copy_int8": """
/* to = from, which are whole numbers with one scale */
static void copy_int8(size_t count, const int8_t *from, float scale, float *to)
{
    for (size_t i = 0; i < count; ++i) to[i] = (float)from[i] * scale;
}
""",
    "copy": """
static void copy(size_t count, const float *from, float *to)
{
    for (size_t i = 0; i < count; ++i) to[i] = from[i];
}
""",
    "clear": """
static void clear(size_t count, float *x)
{
    for (size_t i = 0; i < count; ++i) x[i] = 0.0f;
}
""",
    "sigmoid": """
static float sigmoid(float x)
{
    return 1.0f / (1.0f + expf(-x));
}
""",
    "relu": """
static float relu(float x)
{
    return x < 0.0f ? 0.0f : x;
}
""",
    "softplus": """
/* ln(1 + exp(x)), without overflow */
static float softplus(float x)
{
    return (x > 0.0f ? x : 0.0f) + log1pf(expf(x > 0.0f ? -x : x));
}
""",
    "softsign": """
static float softsign(float x)
{
    return x / (1.0f + (x < 0.0f ? -x : x));
}
""",
    "leaky_relu": """
static float leaky_relu(float alpha, float x)
{
    return x > 0.0f ? x : alpha * x;
}
""",
    "thresholded_relu": """
static float thresholded_relu(float alpha, float x)
{
    return x > alpha ? x : 0.0f;
}
""",
    "hard_sigmoid": """
static float hard_sigmoid(float alpha, float beta, float x)
{
    const float y = alpha * x + beta;
    return y < 0.0f ? 0.0f : y > 1.0f ? 1.0f : y;
}
""",
    "elu": """
/* alpha (e^x - 1) below 0, with e^x - 1 = 2 t / (1 - t) and t = tanh(x / 2) */
static float elu(float alpha, float x)
{
    const float t = tanhf(x * 0.5f);
    return x > 0.0f ? x : alpha * ((t + t) / (1.0f - t));
}
""",
    "affine": """
static float affine(float alpha, float beta, float x)
{
    return alpha * x + beta;
}
""",
    "scaled_tanh": """
static float scaled_tanh(float alpha, float beta, float x)
{
    return alpha * tanhf(beta * x);
}
""",
    "softmax": """
/* y = exp(x) / sum of exp(x), without overflow */
static void softmax(size_t count, const float *x, float *y)
{
    float largest = x[0], sum = 0.0f;
    for (size_t i = 1; i < count; ++i) largest = x[i] > largest ? x[i] : largest;
    for (size_t i = 0; i < count; ++i) {
        y[i] = expf(x[i] - largest);
        sum += y[i];
    }
    for (size_t i = 0; i < count; ++i) y[i] /= sum;
}
""",
    "normalise": """
/* x becomes (x - mean) / sqrt(variance + epsilon) */
static void normalise(size_t count, float epsilon, float *x)
{
    float mean = 0.0f, variance = 0.0f;
    for (size_t i = 0; i < count; ++i) mean += x[i];
    mean /= (float)count;
    for (size_t i = 0; i < count; ++i) {
        x[i] -= mean;
        variance += x[i] * x[i];
    }
    variance /= (float)count;
    const float factor = 1.0f / sqrtf(variance + epsilon);
    for (size_t i = 0; i < count; ++i) x[i] *= factor;
}
""",
    "subtract": """
/* y -= x */
static void subtract(size_t count, const float *x, float *y)
{
    for (size_t i = 0; i < count; ++i) y[i] -= x[i];
}
""",
    "multiply": """
/* y *= x */
static void multiply(size_t count, const float *x, float *y)
{
    for (size_t i = 0; i < count; ++i) y[i] *= x[i];
}
""",
    "zoneout": """
/* The new state keeps a share of the old one. */
static void zoneout(size_t count, float share, float rest, const float *old, float *state)
{
    for (size_t i = 0; i < count; ++i) state[i] = share * old[i] + rest * state[i];
}
""",
    "rnn_tanh": """
/* h = tanh(z) */
static void rnn_tanh(size_t units, const float *z, float *h)
{
    for (size_t j = 0; j < units; ++j) h[j] = tanhf(z[j]);
}
""",
    "rnn_relu": """
/* h = max(0, z) */
static void rnn_relu(size_t units, const float *z, float *h)
{
    for (size_t j = 0; j < units; ++j) h[j] = relu(z[j]);
}
""",
    "lstm": """
/* Gates i f g o: c = f c + i g, output = o tanh(c) */
static void lstm(size_t units, const float *z, float *c, float *output)
{
    for (size_t j = 0; j < units; ++j) {
        const float i = sigmoid(z[j]), f = sigmoid(z[units + j]);
        const float g = tanhf(z[2 * units + j]), o = sigmoid(z[3 * units + j]);
        c[j] = f * c[j] + i * g;
        output[j] = o * tanhf(c[j]);
    }
}
""",
    "lstm_peephole": """
/* Gates i f g o; those of i f o see the cell through p */
static void lstm_peephole(size_t units, const float *p, const float *z, float *c, float *output)
{
    for (size_t j = 0; j < units; ++j) {
        const float i = sigmoid(z[j] + p[j] * c[j]);
        const float f = sigmoid(z[units + j] + p[units + j] * c[j]);
        c[j] = f * c[j] + i * tanhf(z[2 * units + j]);
        output[j] = sigmoid(z[3 * units + j] + p[2 * units + j] * c[j]) * tanhf(c[j]);
    }
}
""",
    "lstm_coupled": """
/* Gates i g o: c = (1 - i) c + i g, output = o tanh(c) */
static void lstm_coupled(size_t units, const float *z, float *c, float *output)
{
    for (size_t j = 0; j < units; ++j) {
        const float i = sigmoid(z[j]);
        c[j] = (1.0f - i) * c[j] + i * tanhf(z[units + j]);
        output[j] = sigmoid(z[2 * units + j]) * tanhf(c[j]);
    }
}
""",
    "lstm_coupled_peephole": """
/* Gates i g o; those of i o see the cell through p */
static void lstm_coupled_peephole(size_t units, const float *p, const float *z, float *c,
                                  float *output)
{
    for (size_t j = 0; j < units; ++j) {
        const float i = sigmoid(z[j] + p[j] * c[j]);
        c[j] = (1.0f - i) * c[j] + i * tanhf(z[units + j]);
        output[j] = sigmoid(z[2 * units + j] + p[units + j] * c[j]) * tanhf(c[j]);
    }
}
""",
    "lstm_layer_norm_cell": """
/* Gates i f g o: c = f c + i g, and also in z, where i was */
static void lstm_layer_norm_cell(size_t units, float *z, float *c)
{
    for (size_t j = 0; j < units; ++j) {
        c[j] = sigmoid(z[units + j]) * c[j] + sigmoid(z[j]) * tanhf(z[2 * units + j]);
        z[j] = c[j];
    }
}
""",
    "lstm_layer_norm_output": """
/* output = o tanh(c), with the normalised c in z */
static void lstm_layer_norm_output(size_t units, const float *z, float *output)
{
    for (size_t j = 0; j < units; ++j) output[j] = sigmoid(z[3 * units + j]) * tanhf(z[j]);
}
""",
    "gru": """
/* n of the input alone, gates r z, n of the state alone: n = tanh(n + r hidden n),
   h = (1 - z) n + z h */
static void gru(size_t units, const float *a, float *h)
{
    for (size_t j = 0; j < units; ++j) {
        const float r = sigmoid(a[units + j]), z = sigmoid(a[2 * units + j]);
        const float n = tanhf(a[j] + r * a[3 * units + j]);
        h[j] = (1.0f - z) * n + z * h[j];
    }
}
""",
    "gru_layer_norm": """
/* Gates r z n, of the input's side a and the state's side b: n = tanh(a + r b),
   h = (1 - z) n + z h */
static void gru_layer_norm(size_t units, const float *a, const float *b, float *h)
{
    for (size_t j = 0; j < units; ++j) {
        const float r = sigmoid(a[j] + b[j]), z = sigmoid(a[units + j] + b[units + j]);
        const float n = tanhf(a[2 * units + j] + r * b[2 * units + j]);
        h[j] = (1.0f - z) * n + z * h[j];
    }
}
""",
    "reset_units": """
/* reset_h = r h */
static void reset_units(size_t units, const float *a, const float *h, float *reset_h)
{
    for (size_t j = 0; j < units; ++j) reset_h[j] = sigmoid(a[j]) * h[j];
}
""",
    "gru_reset_before": """
/* Gates r z n: h = (1 - z) tanh(n) + z h */
static void gru_reset_before(size_t units, const float *a, float *h)
{
    for (size_t j = 0; j < units; ++j) {
        const float z = sigmoid(a[units + j]);
        h[j] = (1.0f - z) * tanhf(a[2 * units + j]) + z * h[j];
    }
}
""",
    "min_gru": """
/* Gates z n: h = (1 - z) h + z n */
static void min_gru(size_t units, const float *a, float *h)
{
    for (size_t j = 0; j < units; ++j) {
        const float z = sigmoid(a[j]);
        h[j] = (1.0f - z) * h[j] + z * a[units + j];
    }
}
""",
}
EXACT = HELPERS | {name: INSTEAD.get(name, text) for name, text in (INSTEAD | FUNCTIONS).items()}
"""Those of int8 models."""
_DOUBLE = {"expf": "exp", "tanhf": "tanh", "sqrtf": "sqrt", "log1pf": "log1p", "float": "double"}


class Integers(NamedTuple):
    """The whole numbers that x and h become in products of int8 weights."""

    bits: int
    most: int

    def rounding(self, text: str) -> str:
        """The text of functions that round to 16 bits, for these."""
        text = re.sub(r"\bint16_t\b", f"int{self.bits}_t", text)
        text = re.sub(r"\b32767\.0f", f"{self.most}.0f", text)
        return re.sub(r"\b16(\s+)bits\b", rf"{self.bits}\1bits", text)


INTEGERS = {"int8": Integers(16, 32767), "int8_bytes": Integers(8, 127)}
"""By the storage of weights."""


def functions(called: set[str], int8: Integers | None = None, narrow: str = "") -> str:
    """The text of the functions that are called, and of those that these call, in C's order.

    ``narrow`` is the format of matrices of 16 bits, if there are any.
    """
    known = FUNCTIONS if int8 is None else EXACT
    known = {name: text.replace("WIDENED", f"widened_{narrow}") for name, text in known.items()}
    needed = called & set(known)
    for name in reversed(known):
        if name in needed:
            needed |= set(re.findall(r"\w+", known[name])) & set(known)
    text = "".join(text for name, text in known.items() if name in needed)
    return text if int8 is None else int8.rounding(text)


def as_double(text: str) -> str:
    """The same in double: its words, and its numbers without an f."""
    for word, other in _DOUBLE.items():
        text = re.sub(rf"\b{word}\b", other, text)
    return re.sub(r"(\d\.\d+)f\b", r"\1", text)
