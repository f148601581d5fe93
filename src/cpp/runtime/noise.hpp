// Random factors of a layer in training: what regularises it inside the step.
#pragma once

#include "kernel_table.hpp"
#include "runtime/range.hpp"

namespace pyrnn {

constexpr int max_states = 2;

// Factors as Python drew them; null where there are none.
template <class T>
struct Noise {
  // (batch, O): what h is multiplied with before every product of a step, the same at all steps
  const T* hidden_mask = nullptr;
  // For each state (rows, size): the share of the old value that stays. A row stride of 0 has one
  // row for all.
  const T* zoneout[max_states] = {};
  Size zoneout_row[max_states] = {};

  bool zones() const { return zoneout[0] != nullptr || zoneout[1] != nullptr; }
  // The same from a row of the sequence on; sequences stay.
  Noise from(Size row) const {
    Noise later = *this;
    for (int s = 0; s < max_states; ++s)
      if (zoneout[s] != nullptr) later.zoneout[s] += row * zoneout_row[s];
    return later;
  }
};

// Some units of some rows, `row` numbers apart.
template <class T>
struct UnitRows {
  T* data;
  Size row;
};

// next = m previous + (1 - m) next: exactly the old value where m is one
template <class T>
void zone_out(UnitRows<const T> m, UnitRows<const T> previous, UnitRows<T> next, Size rows,
              Range units) {
  for (Size row = 0; row < rows; ++row) {
    const T* const share = m.data + row * m.row;
    const T* const old = previous.data + row * previous.row;
    T* const to = next.data + row * next.row;
    for (Size unit = units.begin; unit < units.end; ++unit)
      to[unit] = share[unit] * old[unit] + (T(1) - share[unit]) * to[unit];
  }
}

// The way back: what goes past the step leaves d for `passed`.
template <class T>
void zone_out_back(UnitRows<const T> m, UnitRows<T> d, UnitRows<T> passed, Size rows, Range units) {
  for (Size row = 0; row < rows; ++row) {
    const T* const share = m.data + row * m.row;
    T* const inside = d.data + row * d.row;
    T* const past = passed.data + row * passed.row;
    for (Size unit = units.begin; unit < units.end; ++unit) {
      past[unit] = share[unit] * inside[unit];
      inside[unit] = (T(1) - share[unit]) * inside[unit];
    }
  }
}

// to = a m
template <class T>
void mask_rows(UnitRows<const T> a, UnitRows<const T> m, UnitRows<T> to, Size rows, Range units) {
  for (Size row = 0; row < rows; ++row) {
    for (Size unit = units.begin; unit < units.end; ++unit)
      to.data[row * to.row + unit] = a.data[row * a.row + unit] * m.data[row * m.row + unit];
  }
}

// to += a
template <class T>
void add_rows(UnitRows<const T> a, UnitRows<T> to, Size rows, Range units) {
  for (Size row = 0; row < rows; ++row) {
    for (Size unit = units.begin; unit < units.end; ++unit)
      to.data[row * to.row + unit] += a.data[row * a.row + unit];
  }
}

}  // namespace pyrnn
