// Where values of the sequences of a batch lie in memory.
#pragma once

#include <utility>
#include <vector>

#include "runtime/threads/range.hpp"

namespace pyrnn {

// The batch in slices, one after another, each with all its steps: then the memory that a thread
// writes is separate from that of the others. If all sequences of a step were side by side, a core
// would prefetch lines that another core is about to write, and so slow it down. A single slice is
// the order of the packed batch. docs/tuning/slices.md
class Slices {
 public:
  explicit Slices(Size batch_size = 0) : bounds_{0, batch_size} {}
  // bounds: 0, where a slice ends and the next begins, and the batch size
  explicit Slices(std::vector<Size> bounds) : bounds_(std::move(bounds)) {}

  int count() const { return static_cast<int>(bounds_.size()) - 1; }
  Range operator[](int index) const {
    const auto slice = static_cast<std::size_t>(index);
    return {bounds_[slice], bounds_[slice + 1]};
  }

  // Sequence n's row in a buffer of `steps` steps, where the packed batch has it at first + n.
  Size row(Size first, Size n, Size steps) const {
    if (count() == 1) return first + n;
    const Range slice = around(n);
    return slice.begin * steps + first / bounds_.back() * slice.size() + n - slice.begin;
  }
  // From a row of sequence n to that of its next step.
  Size stride(Size n) const { return around(n).size(); }

  // Calls work(rows) for those of some rows that lie in a slice each.
  template <class Work>
  void each(Range rows, const Work& work) const {
    if (count() == 1) {
      work(rows);
      return;
    }
    for (int index = 0; index < count(); ++index) {
      const Range slice = (*this)[index];
      const Range mine{std::max(rows.begin, slice.begin), std::min(rows.end, slice.end)};
      if (mine.size() > 0) work(mine);
    }
  }

 private:
  Range around(Size n) const {
    int index = 0;
    while (index + 1 < count() && bounds_[static_cast<std::size_t>(index) + 1] <= n) ++index;
    return (*this)[index];
  }

  std::vector<Size> bounds_;
};

}  // namespace pyrnn
