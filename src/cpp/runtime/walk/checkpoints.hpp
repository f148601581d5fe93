// A sequence of which only the states between segments are saved. The backward pass runs forward
// again, segment by segment from the last one, so that memory is proportional to the number of
// segments plus the length of one. Every number is computed as without checkpoints, so gradients
// are equal bit for bit.
#pragma once

#include <vector>

#include "runtime/walk/walk.hpp"

namespace pyrnn {

template <class T>
struct Checkpoints {
  Size steps = 0;  // of a segment, 0 if all is saved
  // First states after h of each segment: (inner states, its batch, H)
  std::vector<Buffer<T>> inner;
};

// As walk_forward, keeping `checkpoints` only; checkpoints.steps is set.
template <class T>
void walk_forward(const Forward<T>& call, Checkpoints<T>& checkpoints);

// As walk_backward. The outputs of a segment are computed again elsewhere than in `inputs.y`, which
// others may be reading.
template <class T>
void walk_backward(const Backward<T>& call, const Checkpoints<T>& checkpoints,
                   GradientSums<T>& sums);

extern template void walk_forward(const Forward<float>&, Checkpoints<float>&);
extern template void walk_forward(const Forward<double>&, Checkpoints<double>&);
extern template void walk_backward(const Backward<float>&, const Checkpoints<float>&,
                                   GradientSums<float>&);
extern template void walk_backward(const Backward<double>&, const Checkpoints<double>&,
                                   GradientSums<double>&);

}  // namespace pyrnn
