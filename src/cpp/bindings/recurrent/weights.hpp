// A cell's weights as Python passes them. They are packed for the forward pass at their first use,
// and for the backward pass at the first call that keeps a cache; at every call, if they may have
// changed.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bindings/python/arrays.hpp"
#include "bindings/python/computing.hpp"
#include "bindings/python/storage.hpp"
#include "bindings/recurrent/parameters.hpp"
#include "runtime/layout/cell_weights.hpp"
#include "runtime/machine/dispatch.hpp"

namespace pyrnn {

inline CellIndex cell_index(const std::string& name) {
  for (int i = 0; i < static_cast<int>(CellIndex::count); ++i) {
    if (name == active_table().f32.cells[i].shape.name) return static_cast<CellIndex>(i);
  }
  throw std::invalid_argument("unknown cell '" + name + "'");
}

template <class T>
struct Weights {
  using List = std::vector<Parameter>;

  bool follow;  // whether the arrays may change from call to call
  std::vector<Dense<T>> arrays;
  std::shared_ptr<const List> parameters;  // of these arrays, in this order
  CellSizes<T> sizes;
  std::shared_ptr<const CellWeights<T>> inference, training;

  Weights(const std::string& cell, const py::dict& given, const std::string& suffix, bool followed,
          const std::string& storage, const std::vector<double>& activations,
          const std::string& compute)
      : Weights(cell_index(cell), given, suffix, followed, storage_named<T>(storage),
                compute_named<T>(compute), activations) {}

  Weights(CellIndex cell, const py::dict& given, const std::string& suffix, bool followed,
          Storage storage, Compute compute, const std::vector<double>& activations)
      : follow(followed),
        arrays(arrays_of(given, followed)),
        parameters(list_of(given, suffix, arrays, shape_of(cell))),
        sizes(sizes_of(*parameters, cell, storage, compute,
                       activations_of(shape_of(cell), activations))) {
    check();
    require(!follow || storage == Storage::full, "storage: of weights that do not change");
    require(compute == Compute::full || storage == Storage::full || storage == Storage::bfloat16,
            "storage: narrower than the type of products");
    require(!sizes.shape().has_hidden() || find(*parameters, positions::weight_hh) != nullptr,
            "weight_hh: missing");
  }

  // Where the arrays' numbers are now.
  CellParameters<T> pointers() const {
    check();
    ParameterPointers<const T*> pointers;
    for (std::size_t i = 0; i < arrays.size(); ++i)
      pointers.by_position[(*parameters)[i].position] = arrays[i].data();
    return pointers.template as<CellParameters<T>>();
  }

  // What is packed once, now if it has not been; null where arrays may change from call to call.
  template <class Condition>
  std::shared_ptr<const CellWeights<T>> packed(bool keep, const Condition& several_readers) {
    if (follow) return nullptr;
    auto& wanted = keep ? training : inference;
    if (wanted == nullptr) {
      const CellParameters<T> from = pointers();
      const bool several = several_readers();
      std::shared_ptr<const CellWeights<T>> made;
      {
        const Computing computing;
        made = std::make_shared<const CellWeights<T>>(sizes, from, PackedFor{keep, keep, several});
      }
      // Another thread may have been as far in the meantime, with the same result.
      if (wanted == nullptr) wanted = made;
    }
    return wanted;
  }

 private:
  static const CellShape& shape_of(CellIndex cell) {
    return kernels_of<T>(active_table()).cells[static_cast<int>(cell)].shape;
  }

  static std::vector<Dense<T>> arrays_of(const py::dict& given, bool followed) {
    std::vector<Dense<T>> arrays;
    for (const auto& [key, array] : given) {
      arrays.push_back(array.template cast<Dense<T>>());
      require(!followed || arrays.back().is(array), "parameters: a copy cannot be followed");
    }
    return arrays;
  }

  static std::shared_ptr<const List> list_of(const py::dict& given, const std::string& suffix,
                                             const std::vector<Dense<T>>& arrays,
                                             const CellShape& shape) {
    List list;
    for (const auto& [key, array] : given) {
      const auto name = key.template cast<std::string>();
      const Dense<T>& dense = arrays[list.size()];
      // A gradient has the same shape.
      require(dense.ndim() == 1 || dense.ndim() == 2, "parameters: expected one or two axes");
      list.push_back({py::str(name + suffix),
                      std::vector<Size>(dense.shape(), dense.shape() + dense.ndim()),
                      position_of(shape, name)});
    }
    return std::make_shared<const List>(std::move(list));
  }

  static const Parameter* find(const List& list, int position) {
    for (const Parameter& parameter : list)
      if (parameter.position == position) return &parameter;
    return nullptr;
  }

  // Of gates, candidate and output a function, alpha and beta; the bound of what goes in; what
  // layer norm adds to variances, and whether it is the normalised cell state that is carried.
  static Activations<T> activations_of(const CellShape& shape, const std::vector<double>& numbers) {
    Activations<T> chosen;
    if (numbers.empty()) return chosen;
    require(shape.has_activations && numbers.size() == 12, "activations: twelve numbers");
    Activation<T>* const all[] = {&chosen.gate, &chosen.candidate, &chosen.output};
    for (std::size_t i = 0; i < 3; ++i) {
      const double function = numbers[3 * i];
      require(function >= 0 && function < function_count, "activations: function");
      *all[i] = {static_cast<Function>(static_cast<int>(function)),
                 static_cast<T>(numbers[3 * i + 1]), static_cast<T>(numbers[3 * i + 2])};
    }
    chosen.clip = static_cast<T>(numbers[9]);
    chosen.eps = static_cast<T>(numbers[10]);
    chosen.normalised_state = numbers[11] != 0;
    return chosen;
  }

  static CellSizes<T> sizes_of(const List& list, CellIndex cell, Storage storage, Compute compute,
                               const Activations<T>& chosen) {
    const int gates = shape_of(cell).gates;
    const Parameter* const weight_ih = find(list, positions::weight_ih);
    const Parameter* const projection = find(list, positions::weight_hr);
    require(
        weight_ih != nullptr && weight_ih->shape.size() == 2 && weight_ih->shape[0] % gates == 0,
        "weight_ih: shape");
    require(projection == nullptr || projection->shape.size() == 2, "weight_hr: shape");
    const Size H = weight_ih->shape[0] / gates;
    return {kernels_of<T>(active_table()),
            cell,
            weight_ih->shape[1],
            H,
            projection == nullptr ? H : projection->shape[0],
            projection != nullptr,
            storage,
            compute,
            chosen};
  }

  // Arrays of the sizes that the cell's shape asks for; nothing else keeps an array's size.
  void check() const {
    for (std::size_t i = 0; i < arrays.size(); ++i)
      require(arrays[i].size() == expected_size((*parameters)[i]), "parameters: shapes");
  }

  Size expected_size(const Parameter& parameter) const {
    return size_of_parameter(sizes.shape(), parameter.position, sizes.input_size, sizes.hidden_size,
                             sizes.output_size);
  }
};

// Of a stack of layers, lowest first, what their single steps compute with.
template <class T>
std::vector<std::shared_ptr<const CellWeights<T>>> packed_for_steps(
    const std::vector<Weights<T>*>& layers) {
  std::vector<std::shared_ptr<const CellWeights<T>>> all;
  for (Weights<T>* layer : layers) {
    require(layer != nullptr && !layer->follow, "layers: expected weights that do not change");
    const CellSizes<T>&sizes = layer->sizes, &lowest = layers.front()->sizes;
    require(all.empty() ||
                (&sizes.shape() == &lowest.shape() && sizes.hidden_size == lowest.hidden_size &&
                 sizes.output_size == lowest.output_size && sizes.input_size == sizes.output_size),
            "layers: expected a stack");
    all.push_back(layer->packed(false, [] { return false; }));
  }
  require(!all.empty(), "layers: none");
  return all;
}

}  // namespace pyrnn
