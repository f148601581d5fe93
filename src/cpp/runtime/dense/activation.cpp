#include "runtime/dense/activation.hpp"

#include "runtime/threads/parallel.hpp"
#include "runtime/threads/pieces.hpp"
#include "tuning.hpp"

namespace pyrnn {
namespace {

// Ranges begin at whole cache lines, so that no two threads write into one.
constexpr Size unit = 16;

template <class Work>
void over_elements(Size n, const Work& work) {
  parallel_for(n, tuning::softmax_grain, unit, [&](Range mine) {
    in_pieces(mine, tuning::products_of_an_exponential, unit, work);
  });
}

}  // namespace

template <class T>
void activation(const Kernels<T>& kernels, const Activation<T>& f, const T* x, T* y, Size n) {
  over_elements(
      n, [&](Range some) { kernels.activation(f, x + some.begin, y + some.begin, some.size()); });
}

template <class T>
void activation_backward(const Kernels<T>& kernels, const Activation<T>& f, const T* x, const T* dy,
                         T* dx, Size n) {
  over_elements(n, [&](Range some) {
    kernels.activation_backward(f, x + some.begin, dy + some.begin, dx + some.begin, some.size());
  });
}

template void activation(const Kernels<float>&, const Activation<float>&, const float*, float*,
                         Size);
template void activation(const Kernels<double>&, const Activation<double>&, const double*, double*,
                         Size);
template void activation_backward(const Kernels<float>&, const Activation<float>&, const float*,
                                  const float*, float*, Size);
template void activation_backward(const Kernels<double>&, const Activation<double>&, const double*,
                                  const double*, double*, Size);

}  // namespace pyrnn
