// Convolutions one behind the other, and the magnitudes of spectra between them, as one call.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "runtime/dense/convolution.hpp"

namespace pyrnn {

// sqrt(a^2 + b^2) of two ranges of channels, of all steps but the first few.
struct Magnitude {
  Size channels, real, imaginary, skipped;
};

template <class T>
struct Link {
  std::shared_ptr<const Convolution<T>> convolution;
  Size before, after;                  // steps of zeros around what it takes
  std::optional<Magnitude> magnitude;  // of what it gives

  Size channels() const { return magnitude ? magnitude->channels : convolution->out; }
  // How many steps so many give; none if they are too few.
  Size outputs(Size steps) const;
};

// What one link gives lies, with the channels last, where the next one takes it: between its zeros.
template <class T>
struct Chain {
  std::vector<Link<T>> links;  // at least one; each takes as many channels as the last one gives

  Size outputs(Size steps) const;
};

// y: of chain.outputs(x.steps) steps, its channels side by side. The same bits as link by link.
template <class T>
void convolve(const Kernels<T>& kernels, const Chain<T>& chain, const Frames<const T>& x,
              const Frames<T>& y);

}  // namespace pyrnn
