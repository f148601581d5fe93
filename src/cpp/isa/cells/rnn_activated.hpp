// The vanilla cell with an activation that is chosen when the layer is made: h' = f(z). Keeps z.
#pragma once

#include "isa/cells/activations.hpp"

namespace pyrnn {
namespace {

struct RnnActivated {
  static constexpr CellShape shape =
      CellShape::of_slots("rnn_activated", {from_x_and_h(0)}).in_wide_panels().activated();

  template <class V>
  static void forward(V (&z)[1], V (&state)[1], const V*,
                      const Activations<typename V::Scalar>& by) {
    state[0] = clipped(by.candidate, by.clip, z[0]);
  }

  template <class V>
  static void backward(V (&z)[1], const V (&)[1], V (&d)[1], const V*, V*,
                       const Activations<typename V::Scalar>& by) {
    z[0] = d[0] * clipped_slope(by.candidate, by.clip, z[0]);
  }
};

}  // namespace
}  // namespace pyrnn
