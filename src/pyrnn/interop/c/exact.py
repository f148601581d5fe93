"""The C functions of int8 models, which give the bits of the core.

A number that lies near the edge between two whole numbers may not be rounded to another one than in
pyrnn: with 8 bits that changes outputs by 1e-3. So these take the core's own polynomials and its
order of operations. Each is in place of the function of that name in `functions.py`.
"""

from __future__ import annotations

HELPERS = {
    "fused_add": """
/* a b + c, rounded once */
static float fused_add(float a, float b, float c)
{
#if defined(FP_FAST_FMAF) || defined(__FP_FAST_FMAF)
    return fmaf(a, b, c);
#else
    /* The sum of two doubles, and what rounding took from it. With an odd last bit wherever
       something was lost, rounding it once more to float gives what rounding once would have. */
    const double exact = (double)a * (double)b;
    double sum = exact + (double)c;
    const double part = sum - exact;
    const double lost = (exact - (sum - part)) + ((double)c - part);
    uint64_t bits;
    memcpy(&bits, &sum, sizeof bits);
    if ((lost < 0.0 || lost > 0.0) && bits % 2 == 0) {
        bits = (lost > 0.0) == (sum > 0.0) ? bits + 1 : bits - 1;
        memcpy(&sum, &bits, sizeof sum);
    }
    return (float)sum;
#endif
}
""",
    "rounded_product": """
/* a b, rounded, though the compiler may join multiplications and additions */
static float rounded_product(float a, float b)
{
#if defined(FP_FAST_FMAF) || defined(__FP_FAST_FMAF)
    return fmaf(a, b, 0.0f);
#else
    const float rounded = a * b;
    return rounded;
#endif
}
""",
    "nearest_whole": """
/* The whole number nearest to x factor: adding 1.5 2^23 rounds. */
static float nearest_whole(float x, float factor)
{
    return fused_add(x, factor, 12582912.0f) - 12582912.0f;
}
""",
    "power_of_two": """
/* 2^n for a whole number n */
static float power_of_two(float n)
{
    float power = n + 12583039.0f;
    uint32_t bits;
    memcpy(&bits, &power, sizeof bits);
    bits <<= 23;
    memcpy(&power, &bits, sizeof power);
    return power;
}
""",
    "rest_of_exp": """
/* y - n ln 2 */
static float rest_of_exp(float y, float n)
{
    return fused_add(-n, -2.12194440e-4f, fused_add(-n, 0.693359375f, y));
}
""",
    "small_expm1": """
/* e^r - 1 for |r| up to ln 2 / 2 */
static float small_expm1(float r)
{
    float p = 0.0013814540176801306f;
    p = fused_add(p, r, 0.0083687451089425907f);
    p = fused_add(p, r, 0.041668390783547914f);
    p = fused_add(p, r, 0.16666520399042530f);
    p = fused_add(p, r, 0.49999993432129290f);
    return fused_add(r * r, p, r);
}
""",
    "own_exp": """
/* e^x for x up to 0 */
static float own_exp(float x)
{
    const float y = x < -104.5f ? -104.5f : x;
    const float n = nearest_whole(y, 1.44269504088896341f), half = nearest_whole(n, 0.5f);
    const float e = 1.0f + small_expm1(rest_of_exp(y, n));
    return (e * power_of_two(half)) * power_of_two(n - half);
}
""",
    "own_tanh": """
/* (1 - z) / (1 + z) with z = e^(-2|x|) = s (1 + t) */
static float own_tanh(float x)
{
    const float y = x < 0.0f ? x : -x;
    const float twice = y + y < -40.0f ? -40.0f : y + y;
    const float n = nearest_whole(twice, 1.44269504088896341f);
    const float t = small_expm1(rest_of_exp(twice, n)), s = power_of_two(n);
    const float quotient = fused_add(-s, t, 1.0f - s) / fused_add(s, t, 1.0f + s);
    return x < 0.0f ? -quotient : quotient;
}
""",
    "mix_activated": """
/* (1 - z) n + z h, in the order of cells with other functions */
static float mix_activated(float z, float n, float h)
{
    return fused_add(z, h, (1.0f - z) * n);
}
""",
    "scale_and_shift": """
/* x = gain x + bias */
static void scale_and_shift(size_t count, const float *gain, const float *bias, float *x)
{
    for (size_t i = 0; i < count; ++i) x[i] = fused_add(gain[i], x[i], bias[i]);
}
""",
    "sum_of_lanes": """
/* The sum of 16 numbers: the second half is added to the first, again and again. */
static float sum_of_lanes(float *sums)
{
    for (size_t half = 8; half > 0; half /= 2)
        for (size_t i = 0; i < half; ++i) sums[i] += sums[i + half];
    return sums[0];
}
""",
    "normalise_slots": """
/* x, which has some slots of so many units, becomes (x - mean) / sqrt(variance + epsilon). */
static void normalise_slots(size_t slots, size_t units, float epsilon, float *x)
{
    const float count = (float)(slots * units);
    float sums[16] = {0.0f}, squares[16] = {0.0f};
    for (size_t j = 0; j < units; ++j)
        for (size_t s = 0; s < slots; ++s) sums[j % 16] += x[s * units + j];
    const float mean = sum_of_lanes(sums) / count;
    for (size_t j = 0; j < units; ++j)
        for (size_t s = 0; s < slots; ++s) {
            const float apart = x[s * units + j] - mean;
            squares[j % 16] = fused_add(apart, apart, squares[j % 16]);
        }
    const float factor = 1.0f / sqrtf(sum_of_lanes(squares) / count + epsilon);
    for (size_t i = 0; i < slots * units; ++i) x[i] = (x[i] - mean) * factor;
}
""",
}
"""What the others call."""

INSTEAD = {
    "quantise": """
/* x becomes whole numbers of 16 bits, and a scale, which is returned: NaN of numbers that are not
   finite, 0 where all are too small */
static float quantise(size_t count, const float *x, int16_t *numbers)
{
    float largest = 0.0f, finite = 0.0f;
    for (size_t i = 0; i < count; ++i) {
        const float magnitude = x[i] < 0.0f ? -x[i] : x[i];
        if (magnitude > largest) largest = magnitude;
        finite += x[i] - x[i];
    }
    const int any = finite == 0.0f && largest >= 7.88860905e-31f;
    const float factor = any ? 32767.0f / largest : 0.0f;
    for (size_t i = 0; i < count; ++i) {
        /* To the nearest whole number, to the even one of two */
        const float shifted = (any ? rounded_product(x[i], factor) : 0.0f) + 12582912.0f;
        numbers[i] = (int16_t)(shifted - 12582912.0f);
    }
    return any ? largest / 32767.0f : finite;
}
""",
    "add_int8_product": """
/* y += W x, with W (rows, columns) of whole numbers, and a scale for each row; x is rounded to 16
   bits. Sums are exact over so many numbers that 32 bits hold them. */
static void add_int8_product(size_t rows, size_t columns, const int8_t *weight,
                             const float *scales, const float *x, int16_t *numbers, float *y)
{
    const float scale = quantise(columns, x, numbers);
    for (size_t row = 0; row < rows; ++row, weight += columns) {
        for (size_t begin = 0; begin < columns; begin += 512) {
            const size_t end = columns - begin < 512 ? columns : begin + 512;
            int32_t sum = 0;
            for (size_t k = begin; k < end; ++k) sum += (int32_t)weight[k] * numbers[k];
            y[row] = fused_add((float)sum * scales[row], scale, y[row]);
        }
    }
}
""",
    "sigmoid": """
/* 1 / (1 + e^-x) = s / (s + e^-r) with x = n ln 2 + r and s = 2^n */
static float sigmoid(float x)
{
    const float low = x < -104.5f ? -104.5f : x, y = low > 40.0f ? 40.0f : low;
    const float n = nearest_whole(y, 1.44269504088896341f), half = nearest_whole(n, 0.5f);
    const float t = small_expm1(-rest_of_exp(y, n));
    const float s = power_of_two(half) * power_of_two(n - half);
    return s / ((t + (s < 1.0f ? s : 1.0f)) + (s < 1.0f ? 1.0f : s));
}
""",
    "softplus": """
/* ln(1 + e^x), with ln(1 + t) = 2 artanh(t / (2 + t)) by its series */
static float softplus(float x)
{
    static const float series[8] = {
        1.0f / 15.0f, 1.0f / 13.0f, 1.0f / 11.0f, 1.0f / 9.0f, 1.0f / 7.0f, 1.0f / 5.0f,
        1.0f / 3.0f, 1.0f
    };
    const float t = own_exp(x < 0.0f ? x : -x), s = t / (2.0f + t), square = s * s;
    float sum = 1.0f / 17.0f;
    for (size_t i = 0; i < 8; ++i) sum = fused_add(sum, square, series[i]);
    return (x > 0.0f ? x : 0.0f) + rounded_product(s + s, sum);
}
""",
    "softmax": """
/* y = exp(x) / sum of exp(x), without overflow */
static void softmax(size_t count, const float *x, float *y)
{
    double largest = (double)x[0], sum = 0.0;
    for (size_t i = 1; i < count; ++i) largest = (double)x[i] > largest ? (double)x[i] : largest;
    for (size_t i = 0; i < count; ++i) sum += exp((double)x[i] - largest);
    for (size_t i = 0; i < count; ++i) y[i] = (float)(exp((double)x[i] - largest) / sum);
}
""",
    "layer_norm": """
/* y = gain (x - mean) / sqrt(variance + epsilon) + bias, without gain and bias if they are null */
static void layer_norm(size_t count, double epsilon, const float *gain, const float *bias,
                       const float *x, float *y)
{
    double mean = 0.0, variance = 0.0;
    for (size_t i = 0; i < count; ++i) mean += (double)x[i];
    mean /= (double)count;
    for (size_t i = 0; i < count; ++i) variance += ((double)x[i] - mean) * ((double)x[i] - mean);
    const double factor = 1.0 / sqrt(variance / (double)count + epsilon);
    for (size_t i = 0; i < count; ++i) {
        const double normal = ((double)x[i] - mean) * factor;
        y[i] = (float)(gain ? normal * (double)gain[i] + (double)bias[i] : normal);
    }
}
""",
    "multiply": """
/* y *= x */
static void multiply(size_t count, const float *x, float *y)
{
    for (size_t i = 0; i < count; ++i) y[i] = rounded_product(x[i], y[i]);
}
""",
    "hard_sigmoid": """
static float hard_sigmoid(float alpha, float beta, float x)
{
    const float y = fused_add(alpha, x, beta);
    return y < 0.0f ? 0.0f : y > 1.0f ? 1.0f : y;
}
""",
    "elu": """
/* alpha (e^x - 1) below 0, with e^x - 1 = 2 t / (1 - t) and t = tanh(x / 2) */
static float elu(float alpha, float x)
{
    const float t = own_tanh(x * 0.5f);
    return x > 0.0f ? x : alpha * ((t + t) / (1.0f - t));
}
""",
    "affine": """
static float affine(float alpha, float beta, float x)
{
    return fused_add(alpha, x, beta);
}
""",
    "scaled_tanh": """
static float scaled_tanh(float alpha, float beta, float x)
{
    return alpha * own_tanh(beta * x);
}
""",
    "zoneout": """
/* The new state keeps a share of the old one. */
static void zoneout(size_t count, float share, float rest, const float *old, float *state)
{
    for (size_t i = 0; i < count; ++i)
        state[i] = rounded_product(share, old[i]) + rounded_product(rest, state[i]);
}
""",
    "rnn_tanh": """
/* h = tanh(z) */
static void rnn_tanh(size_t units, const float *z, float *h)
{
    for (size_t j = 0; j < units; ++j) h[j] = own_tanh(z[j]);
}
""",
    "lstm": """
/* Gates i f g o: c = f c + i g, output = o tanh(c) */
static void lstm(size_t units, const float *z, float *c, float *output)
{
    for (size_t j = 0; j < units; ++j) {
        const float i = sigmoid(z[j]), f = sigmoid(z[units + j]);
        c[j] = fused_add(f, c[j], i * own_tanh(z[2 * units + j]));
        output[j] = sigmoid(z[3 * units + j]) * own_tanh(c[j]);
    }
}
""",
    "lstm_peephole": """
/* Gates i f g o; those of i f o see the cell through p */
static void lstm_peephole(size_t units, const float *p, const float *z, float *c, float *output)
{
    for (size_t j = 0; j < units; ++j) {
        const float i = sigmoid(fused_add(p[j], c[j], z[j]));
        const float f = sigmoid(fused_add(p[units + j], c[j], z[units + j]));
        c[j] = fused_add(f, c[j], i * own_tanh(z[2 * units + j]));
        const float o = sigmoid(fused_add(p[2 * units + j], c[j], z[3 * units + j]));
        output[j] = o * own_tanh(c[j]);
    }
}
""",
    "lstm_coupled": """
/* Gates i g o: c = (1 - i) c + i g, output = o tanh(c) */
static void lstm_coupled(size_t units, const float *z, float *c, float *output)
{
    for (size_t j = 0; j < units; ++j) {
        const float i = sigmoid(z[j]);
        c[j] = fused_add(1.0f - i, c[j], i * own_tanh(z[units + j]));
        output[j] = sigmoid(z[2 * units + j]) * own_tanh(c[j]);
    }
}
""",
    "lstm_coupled_peephole": """
/* Gates i g o; those of i o see the cell through p */
static void lstm_coupled_peephole(size_t units, const float *p, const float *z, float *c,
                                  float *output)
{
    for (size_t j = 0; j < units; ++j) {
        const float i = sigmoid(fused_add(p[j], c[j], z[j]));
        c[j] = fused_add(1.0f - i, c[j], i * own_tanh(z[units + j]));
        output[j] = sigmoid(fused_add(p[units + j], c[j], z[2 * units + j])) * own_tanh(c[j]);
    }
}
""",
    "lstm_layer_norm_cell": """
/* Gates i f g o: c = f c + i g, and also in z, where i was */
static void lstm_layer_norm_cell(size_t units, float *z, float *c)
{
    for (size_t j = 0; j < units; ++j) {
        const float change = sigmoid(z[j]) * own_tanh(z[2 * units + j]);
        c[j] = fused_add(sigmoid(z[units + j]), c[j], change);
        z[j] = c[j];
    }
}
""",
    "lstm_layer_norm_output": """
/* output = o tanh(c), with the normalised c in z */
static void lstm_layer_norm_output(size_t units, const float *z, float *output)
{
    for (size_t j = 0; j < units; ++j) output[j] = sigmoid(z[3 * units + j]) * own_tanh(z[j]);
}
""",
    "mix": """
/* (1 - z) n + z h */
static float mix(float z, float n, float h)
{
    return fused_add(z, h, fused_add(-z, n, n));
}
""",
    "gru": """
/* n of the input alone, gates r z, n of the state alone: n = tanh(n + r hidden n),
   h = (1 - z) n + z h */
static void gru(size_t units, const float *a, float *h)
{
    for (size_t j = 0; j < units; ++j) {
        const float r = sigmoid(a[units + j]), z = sigmoid(a[2 * units + j]);
        h[j] = mix(z, own_tanh(fused_add(r, a[3 * units + j], a[j])), h[j]);
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
        h[j] = mix(z, own_tanh(fused_add(r, b[2 * units + j], a[2 * units + j])), h[j]);
    }
}
""",
    "gru_reset_before": """
/* Gates r z n: h = (1 - z) tanh(n) + z h */
static void gru_reset_before(size_t units, const float *a, float *h)
{
    for (size_t j = 0; j < units; ++j)
        h[j] = mix(sigmoid(a[units + j]), own_tanh(a[2 * units + j]), h[j]);
}
""",
    "min_gru": """
/* Gates z n: h = (1 - z) h + z n */
static void min_gru(size_t units, const float *a, float *h)
{
    for (size_t j = 0; j < units; ++j) {
        const float z = sigmoid(a[j]);
        h[j] = fused_add(1.0f - z, h[j], z * a[units + j]);
    }
}
""",
}
"""What int8 models have in place of the function of this name."""
