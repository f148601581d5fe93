// Random factors as Python drew them, brought into the order of the walk.
#pragma once

#include <optional>
#include <vector>

#include "bindings/arrays.hpp"
#include "runtime/cell_weights.hpp"
#include "runtime/noise.hpp"
#include "runtime/packed_batch.hpp"

namespace pyrnn {

template <class T>
class NoiseArrays {
 public:
  NoiseArrays() = default;
  // noise: None, or (hidden_mask (N, O) or None, None or for each state an array (T, N, size))
  NoiseArrays(const py::object& noise, const CellSizes<T>& sizes, Size time_steps, Size batch,
              const std::optional<PackedBatch>& packed) {
    if (noise.is_none()) return;
    const auto parts = noise.cast<py::tuple>();
    require(parts.size() == 2, "noise");
    // A cell whose h meets no product has nothing to mask.
    if (!parts[0].is_none() && sizes.shape().has_hidden()) {
      const Dense<T> mask = dense_of<Dense<T>>(parts[0]);
      const Size O = sizes.output_size;
      require(mask.size() == batch * O, "noise: hidden_mask");
      mask_ = Buffer<T>(batch * O);
      if (packed) {
        gather_rows(mask.data(), O, packed->sequence, O, mask_.data());
      } else {
        std::copy(mask.data(), mask.data() + batch * O, mask_.data());
      }
    }
    if (parts[1].is_none()) return;
    const auto zoneout = parts[1].cast<py::tuple>();
    require(static_cast<int>(zoneout.size()) == sizes.shape().states, "noise: zoneout");
    for (std::size_t s = 0; s < zoneout.size(); ++s)
      add_zoneout(zoneout[s].cast<py::array_t<T>>(), sizes.state_size(static_cast<int>(s)),
                  time_steps, batch, packed);
  }

  Noise<T> pointers() const {
    Noise<T> noise;
    noise.hidden_mask = mask_.data();
    for (std::size_t s = 0; s < zoneout_.size(); ++s) {
      noise.zoneout[s] = zoneout_[s].data();
      noise.zoneout_row[s] = zoneout_row_[s];
    }
    return noise;
  }

 private:
  void add_zoneout(const py::array_t<T>& array, Size size, Size time_steps, Size batch,
                   const std::optional<PackedBatch>& packed) {
    require(array.ndim() == 3 && array.shape(0) == time_steps && array.shape(1) == batch &&
                array.shape(2) == size,
            "noise: zoneout shapes");
    if (array.strides(0) == 0 && array.strides(1) == 0 && array.strides(2) == 0) {
      // One number for all
      Buffer<T> row(size);
      std::fill(row.data(), row.data() + size, *array.data());
      zoneout_.push_back(std::move(row));
      zoneout_row_.push_back(0);
      return;
    }
    const Dense<T> dense = dense_of<Dense<T>>(array);
    const Size rows = packed ? packed->schedule.rows : time_steps * batch;
    Buffer<T> all(rows * size);
    if (packed) {
      gather_rows(dense.data(), size, packed->source, size, all.data());
    } else {
      std::copy(dense.data(), dense.data() + rows * size, all.data());
    }
    zoneout_.push_back(std::move(all));
    zoneout_row_.push_back(size);
  }

  Buffer<T> mask_;
  std::vector<Buffer<T>> zoneout_;
  std::vector<Size> zoneout_row_;
};

}  // namespace pyrnn
