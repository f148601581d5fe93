// Random factors as Python drew them, brought into the order of the time steps.
#pragma once

#include <optional>
#include <vector>

#include "bindings/python/arrays.hpp"
#include "bindings/python/computing.hpp"
#include "runtime/layout/cell_weights.hpp"
#include "runtime/layout/packed_batch.hpp"
#include "runtime/walk/noise.hpp"

namespace pyrnn {

template <class T>
class NoiseArrays {
 public:
  NoiseArrays() = default;
  // noise: None, or (hidden_mask (N, O) or None, None or for each state an array (T, N, size) or
  // one rate for all)
  NoiseArrays(const py::object& noise, const CellSizes<T>& sizes, Size time_steps, Size batch,
              const std::optional<PackedBatch>& packed) {
    if (noise.is_none()) return;
    const auto fields = noise.cast<py::tuple>();
    require(fields.size() == 2, "noise");
    // A cell whose h meets no product has nothing to mask.
    if (!fields[0].is_none() && sizes.shape().has_hidden()) {
      const Dense<T> mask = dense_of<Dense<T>>(fields[0]);
      const Size O = sizes.output_size;
      require(mask.size() == batch * O, "noise: hidden_mask");
      mask_ = Buffer<T>(batch * O);
      if (packed) {
        gather_rows(mask.data(), O, packed->sequence, O, mask_.data());
      } else {
        std::copy(mask.data(), mask.data() + batch * O, mask_.data());
      }
    }
    if (fields[1].is_none()) return;
    const auto zoneout = fields[1].cast<py::tuple>();
    require(static_cast<int>(zoneout.size()) == sizes.shape().states, "noise: zoneout");
    for (std::size_t s = 0; s < zoneout.size(); ++s)
      add_zoneout(zoneout[s], sizes.state_size(static_cast<int>(s)), time_steps, batch, packed);
  }

  Noise<T> pointers() const {
    Noise<T> noise;
    noise.hidden_mask = mask_.data();
    std::copy(zoneout_.begin(), zoneout_.end(), noise.zoneout);
    return noise;
  }

 private:
  void add_zoneout(const py::object& state, Size size, Size time_steps, Size batch,
                   const std::optional<PackedBatch>& packed) {
    if (py::isinstance<py::float_>(state)) {
      zoneout_.push_back(Zoneout<T>::with_rate(state.cast<double>()));
      return;
    }
    const py::array_t<T> array = state.cast<py::array_t<T>>();
    require(array.ndim() == 3 && array.shape(0) == time_steps && array.shape(1) == batch &&
                array.shape(2) == size,
            "noise: zoneout shapes");
    const Dense<T> dense = dense_of<Dense<T>>(array);
    const Size rows = packed ? packed->schedule.rows : time_steps * batch;
    Buffer<T> all(rows * size);
    const T* const given = dense.data();
    {
      const Computing computing;
      if (packed) {
        gather_rows(given, size, packed->source, size, all.data());
      } else {
        in_pieces({0, rows}, size * tuning::products_of_a_copy, 1, [&](Range some) {
          std::copy(given + some.begin * size, given + some.end * size,
                    all.data() + some.begin * size);
        });
      }
    }
    Zoneout<T> zoneout;
    zoneout.drawn = all.data();
    zoneout.row = size;
    zoneout_.push_back(zoneout);
    drawn_.push_back(std::move(all));
  }

  Buffer<T> mask_;
  std::vector<Zoneout<T>> zoneout_;
  std::vector<Buffer<T>> drawn_;  // what they point to
};

}  // namespace pyrnn
