// Random factors of a layer in training: what regularises it inside the step.
#pragma once

#include <algorithm>
#include <limits>

#include "kernel_table.hpp"
#include "runtime/threads/range.hpp"

namespace pyrnn {

constexpr int max_states = 2;

// How much of a state's old value stays in a step: all or nothing as drawn for each unit, or the
// same rate of every unit.
template <class T>
struct Zoneout {
  const T* drawn = nullptr;  // (rows, size): 1 where the old value stays, 0 where the new one comes
  Size row = 0;
  T old_factor = 0, new_factor = 1;  // where nothing is drawn

  // 1 - rate is rounded once: from a rate rounded to T it would be wrong near 1. Subnormal rates
  // are zero on every thread, whatever its flush mode.
  static Zoneout with_rate(double rate) {
    Zoneout zoneout;
    if (rate >= static_cast<double>(std::numeric_limits<T>::min()))
      zoneout.old_factor = static_cast<T>(rate);
    zoneout.new_factor = static_cast<T>(1 - rate);
    return zoneout;
  }
  bool active() const { return drawn != nullptr || old_factor != 0; }
  // The same from a row of the sequence on
  Zoneout from(Size begin) const {
    Zoneout later = *this;
    if (drawn != nullptr) later.drawn += begin * row;
    return later;
  }
};

// Factors as Python drew them; null where there are none.
template <class T>
struct Noise {
  // (batch, O): what h is multiplied with before every product of a step, the same at all steps
  const T* hidden_mask = nullptr;
  Zoneout<T> zoneout[max_states];

  bool zones() const { return zoneout[0].active() || zoneout[1].active(); }
  // The same from a row of the sequence on; sequences stay.
  Noise from(Size row) const {
    Noise later = *this;
    for (Zoneout<T>& zoneout_of_state : later.zoneout)
      zoneout_of_state = zoneout_of_state.from(row);
    return later;
  }
};

// Some units of some rows, `row` numbers apart.
template <class T>
struct UnitRows {
  T* data;
  Size row;
};

// next = rate previous + (1 - rate) next. A rate of 0 or 1 chooses: an infinity that is not
// chosen is not multiplied by 0, which would make it NaN.
template <class T>
void zone_out(const Zoneout<T>& zoneout, UnitRows<const T> previous, UnitRows<T> next, Size rows,
              Range units) {
  if (!zoneout.active()) return;
  const T old_factor = zoneout.old_factor, new_factor = zoneout.new_factor;
  for (Size row = 0; row < rows; ++row) {
    const T* const old = previous.data + row * previous.row;
    T* const to = next.data + row * next.row;
    if (zoneout.drawn != nullptr) {
      const T* const keeps = zoneout.drawn + row * zoneout.row;
      for (Size unit = units.begin; unit < units.end; ++unit)
        to[unit] = keeps[unit] != 0 ? old[unit] : to[unit];
    } else if (new_factor == 0) {
      std::copy(old + units.begin, old + units.end, to + units.begin);
    } else {
      for (Size unit = units.begin; unit < units.end; ++unit)
        to[unit] = old_factor * old[unit] + new_factor * to[unit];
    }
  }
}

// The backward pass: what goes past the step leaves d for `passed`.
template <class T>
void zone_out_back(const Zoneout<T>& zoneout, UnitRows<T> d, UnitRows<T> passed, Size rows,
                   Range units) {
  const T old_factor = zoneout.old_factor, new_factor = zoneout.new_factor;
  for (Size row = 0; row < rows; ++row) {
    T* const inside = d.data + row * d.row;
    T* const past = passed.data + row * passed.row;
    if (zoneout.drawn != nullptr) {
      const T* const keeps = zoneout.drawn + row * zoneout.row;
      for (Size unit = units.begin; unit < units.end; ++unit) {
        const T all = inside[unit];
        past[unit] = keeps[unit] != 0 ? all : T(0);
        inside[unit] = keeps[unit] != 0 ? T(0) : all;
      }
    } else if (new_factor == 0) {
      std::copy(inside + units.begin, inside + units.end, past + units.begin);
      std::fill(inside + units.begin, inside + units.end, T(0));
    } else {
      for (Size unit = units.begin; unit < units.end; ++unit) {
        past[unit] = old_factor * inside[unit];
        inside[unit] = new_factor * inside[unit];
      }
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
