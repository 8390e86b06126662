// tests/nn/fixture.h -- what the tests of modules share: values by name, bit comparison, one training gradient.
#pragma once
#include <doctest/doctest.h>

#include <map>

#include "autograd/ops/shape.h"
#include "nn/init.h"
#include "nn/module.h"
#include "tests/op_case.h"

namespace retort::testing {

/// All parameters and buffers of a module by name.
inline std::map<std::string, std::vector<double>> values_of(Module& m) {
  std::map<std::string, std::vector<double>> all;
  for (const auto& [name, p] : parameters_of(m)) all[name] = p->value.values();
  for (const auto& [name, b] : buffers_of(m)) all[name] = b->value.values();
  return all;
}

/// A list of free parameters for the tests of optimisers.
struct Bag : Module {
  std::vector<Parameter> items;
  void visit(Visitor& v) override {
    for (std::size_t i = 0; i < items.size(); ++i) v("p" + std::to_string(i), items[i]);
  }
};

/// Unit normals of which no two are neighbours in memory.
inline Tensor spread_randn(const Shape& shape, std::uint64_t seed) {
  Shape twice = shape;
  twice[twice.rank() - 1] *= 2;
  return slice(randn(twice, seed), -1, 0, INT64_MAX, 2);
}

}  // namespace retort::testing
