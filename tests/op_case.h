// tests/op_case.h -- one record per op from which its value, gradient, layout, dtype, thread, meta and error checks
// come.
//
//   OP_CASE(softplus) {
//     c.fn = [](In in) { return Tensors{softplus(in[0])}; };
//     c.naive = per_element([](double x) { return std::log1p(std::exp(x)); });
//     c.samples = {{randn({2, 3})}, {randn({0})}, {Tensor::full({3}, 40., DType::f64)}};
//   }
#pragma once
#include <doctest/doctest.h>

#include <functional>
#include <string>
#include <vector>

#include "autograd/op.h"

namespace retort::testing {

using In = std::span<const Tensor>;
using Function = std::function<Tensors(In)>;

/// Inputs of one call: float inputs in f64, others as the op takes them. `fn` and `naive` replace the case's own where
/// a sample needs other attributes.
struct Sample {
  Tensors in;
  Function fn = nullptr;
  Function naive = nullptr;
  std::string label = {};
};
struct ErrorSample {
  std::string fragment;  ///< the message must contain it (and name the op)
  std::function<void()> call;
};

struct OpCase {
  std::string name;
  std::vector<std::string> covers;  ///< registered ops this case answers for; the case's own name when empty
  Function fn;
  Function naive;  ///< values by plain loops in f64, straight from the definition
  std::vector<Sample> samples;
  std::vector<ErrorSample> errors;
  int order = 3;              ///< derivatives checked to this order on the first sample (1 on the others); 0: none
  bool forward = true;        ///< also forward mode
  bool linear_order = false;  ///< also check the other samples to full order
  std::vector<DType> dtypes = {DType::f32, DType::f16, DType::bf16};
  double tolerance = 1e-12;      ///< f64 against naive, ||a-b|| / ||b||
  double tolerance_f32 = 1e-6;   ///< f32 against f64 from the same rounded inputs, value; gradients get 3 times as much
  double grad_roundings = 8;     ///< 16-bit gradients: error bound in unit roundoffs of the dtype
  double grad_tolerance = 1e-6;  ///< of check_grads
  double step = 1e-5;            ///< of check_grads
  bool any_layout = true;        ///< rerun with transposed, sliced and channels-last inputs
};

/// Normal values keyed by (shape, seed); f64.
Tensor randn(const Shape& shape, std::uint64_t seed = 1);
/// Uniform values in [low, high); f64.
Tensor uniform(const Shape& shape, double low, double high, std::uint64_t seed = 1);
/// Integers in [0, bound), i64.
Tensor randint(const Shape& shape, std::int64_t bound, std::uint64_t seed = 1);
/// Lifts a scalar function to a one- or two-input elementwise reference with broadcasting.
Function per_element(std::function<double(double)> f);
Function per_element2(std::function<double(double, double)> f);
/// ||a - b|| / max(||b||, tiny), over all elements; infinite when shapes differ or exactly one is NaN somewhere.
double relative_error(const Tensor& a, const Tensor& b);

/// A case as it is found before the tests run: what fills its record is called when it is wanted.
struct OpCaseEntry {
  std::string name;
  void (*define)(OpCase&);
};
OpCase make_op_case(const OpCaseEntry& entry);
void run_op_case(const OpCase& c);

/// What came of a case on another device.
struct DeviceRun {
  int samples = 0;      ///< compared, value and gradient
  std::string refused;  ///< of the first sample that did not run: the error
};
/// Runs value and first gradient of the case's samples of at most `largest` elements on `device` in `dtype` and
/// compares them with those of the processor in f64 from the same rounded inputs, with the bounds of the case's dtype
/// check. Samples whose ops have no kernel there, or whose function holds tensors of the host, are not run.
DeviceRun run_on_device(const OpCase& c, Device device, DType dtype, std::int64_t largest);
const OpCaseEntry& new_op_case(const char* name, void (*define)(OpCase&));
const std::vector<OpCaseEntry>& op_cases();

#define OP_CASE(id)                                                                                              \
  static void op_case_##id(::retort::testing::OpCase& c);                                                        \
  [[maybe_unused]] static const ::retort::testing::OpCaseEntry op_case_entry_##id =                              \
      ::retort::testing::new_op_case(#id, op_case_##id);                                                         \
  TEST_CASE("op: " #id) { ::retort::testing::run_op_case(::retort::testing::make_op_case(op_case_entry_##id)); } \
  static void op_case_##id([[maybe_unused]] ::retort::testing::OpCase& c)

}  // namespace retort::testing
