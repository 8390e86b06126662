// tests/nn/grad_reduce_test.cpp -- gradients of several buckets and dtypes are summed in the order of ranks, in one
// order of sending whatever each rank reaches.
#include "nn/grad_reduce.h"

#include <doctest/doctest.h>

#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/reduce.h"
#include "tests/tensor/comm_world.h"

using namespace retort;
using namespace retort::testing;

namespace {
constexpr std::size_t kLong = 4;  ///< the parameter beyond the size of a bucket

double entry(int rank, std::size_t tensor, std::int64_t i) {
  return tensor == kLong ? rank : std::sin(static_cast<double>(rank * 7 + i) + static_cast<double>(tensor));
}

/// More than two buckets of f32, one tensor beyond the size of a bucket; f64 between; nothing; one alone.
std::vector<Parameter> parameters() {
  std::vector<Parameter> list;
  for (const auto& [shape, dtype] : std::vector<std::pair<Shape, DType>>{{{300, 500}, DType::f32},
                                                                         {{400, 501}, DType::f32},
                                                                         {{0, 3}, DType::f32},
                                                                         {{7}, DType::f64},
                                                                         {{6600000}, DType::f32},
                                                                         {{2, 3, 5, 4}, DType::f32},
                                                                         {{1}, DType::f32}})
    list.emplace_back(Tensor::full(shape, 1, dtype));
  return list;
}

/// A constant whose product with parameter k has `entry` as its gradient.
Tensor slope(const Parameter& p, int rank, std::size_t k) {
  if (k == kLong) return Tensor::full(p.value.shape(), rank, p.value.dtype());
  std::vector<double> values;
  for (std::int64_t i = 0; i < p.value.numel(); ++i) values.push_back(entry(rank, k, i));
  return Tensor::from(values, p.value.shape(), p.value.dtype());
}

template <class T>
bool is_sum(const Tensor& t, std::size_t k, const std::vector<int>& ranks) {
  for (std::int64_t i = 0; i < t.numel(); ++i) {
    T sum = 0;
    for (const int r : ranks) sum += static_cast<T>(entry(r, k, i));
    if (t.data<T>()[i] != sum) return false;
  }
  return true;
}
}  // namespace

TEST_CASE("grad reduce: all buckets come back as sums in the order of ranks, also of what one rank does not reach") {
  const auto errors = in_world(Over::threads, 3, [](Communicator& c) {
    std::vector<Parameter> list = parameters();
    std::vector<NamedParameter> named;
    for (Parameter& p : list) named.push_back({"p", &p});
    GradAccumulator grads(named);
    for (int step = 0; step < 2; ++step) {  // what the first one left is not there in the second
      grads.zero();
      GradReducer reducer(c, grads, "gradient");
      Tape tape;
      Leaves leaves(tape);
      grads.attach(leaves);
      std::vector<Tensor> outputs, cotangents;
      for (std::size_t k = 0; k < list.size(); ++k) {
        if (k == 1 && c.rank() == 1) continue;  // which has no gradient of it
        outputs.push_back(sum(leaves.of(list[k], false) * slope(list[k], c.rank(), k), {}));
        cotangents.push_back(Tensor::scalar(1, list[k].value.dtype()));
      }
      reducer.last_walk();
      tape.backward(outputs, cotangents, grads);
      reducer.flush();
      reducer.finish();
    }
    for (std::size_t k = 0; k < list.size(); ++k) {
      const Tensor& g = grads.grads()[k];
      const std::vector<int> reaching = k == 1 ? std::vector<int>{0, 2} : std::vector<int>{0, 1, 2};
      if (!(g.dtype() == DType::f64 ? is_sum<double>(g, k, reaching) : is_sum<float>(g, k, reaching)))
        throw std::runtime_error("gradient " + std::to_string(k));
    }
  });
  CHECK(errors == std::vector<std::string>(3));
}
