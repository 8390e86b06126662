#include "tests/op_case.h"

#include <omp.h>

#include <cmath>
#include <memory>
#include <random>

#include "autograd/check_grads.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/tape.h"
#include "tensor/transfer.h"
#include "tensor/write.h"

namespace retort::testing {

namespace {
std::vector<OpCaseEntry>& cases() {
  static std::vector<OpCaseEntry> all;
  return all;
}

Tensor filled(const Shape& shape, const std::function<double()>& draw) {
  std::vector<double> v(static_cast<std::size_t>(shape.product()));
  for (double& x : v) x = draw();
  return Tensor::from(v, shape, DType::f64);
}

/// The same values behind other strides: 0 reversed axis order, 1 every second element of a larger block with an
/// offset, 2 channels last (rank 4 only), 3 reversed axis order within a larger block. Undefined when the arrangement
/// does not apply.
Tensor rearranged(const Tensor& t, int how) {
  if (!t.defined() || t.rank() == 0) return {};
  Layout layout{t.shape(), {}, 0};
  std::int64_t elements = t.numel();
  if (how == 0 || how == 3) {
    const std::int64_t gap = how == 0 ? 0 : 1;
    layout.strides = Dims::filled(t.rank(), 1);
    for (int a = 1; a < t.rank(); ++a)
      layout.strides[a] = layout.strides[a - 1] * std::max<std::int64_t>(t.shape()[a - 1] + gap, 1);
    if (how == 3) elements = layout.extent();
  } else if (how == 1) {
    layout.strides = contiguous_strides(t.shape());
    for (std::int64_t& s : layout.strides) s *= 2;
    layout.offset = 3;
    elements = 2 * elements + 3;
  } else {
    if (t.rank() != 4) return {};
    layout.strides = channels_last_strides(t.shape());
  }
  const Tensor block = Tensor::full({elements}, 77.0, t.dtype());
  const Tensor view = block.view(layout);
  assign_(view, t);
  return view;
}

Tensors converted(In in, DType dtype) {
  Tensors out;
  for (const Tensor& t : in) out.push_back(t.defined() && t.dtype() == DType::f64 ? cast(t, dtype) : t);
  return out;
}

Tensors on_meta(In in) {
  Tensors out;
  for (const Tensor& t : in)
    out.push_back(t.defined() ? Tensor::empty(t.shape(), t.dtype(), kMeta, nullptr) : Tensor());
  return out;
}

void check_same(const Tensors& a, const Tensors& b, double tolerance, const std::string& what) {
  INFO(what);
  REQUIRE(a.size() == b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (!a[i].defined() || !b[i].defined()) {
      CHECK(a[i].defined() == b[i].defined());
      continue;
    }
    CHECK(a[i].shape() == b[i].shape());
    const double error = relative_error(a[i], b[i]);
    INFO("relative error ", error, " of output ", i);
    CHECK(error <= tolerance);
  }
}

bool same_bits(const Tensor& a, const Tensor& b) {
  if (!(a.shape() == b.shape()) || a.dtype() != b.dtype()) return false;
  const Tensor x = copy_of(a), y = copy_of(b);
  return a.numel() == 0 || std::memcmp(x.raw(), y.raw(), static_cast<std::size_t>(a.numel() * size_of(a.dtype()))) == 0;
}

struct Grads {
  Tensors out, grad;
};
/// Value and gradient of <u, f(in)> for a fixed pseudo-random u.
Grads value_and_grads(const Function& f, In in) {
  const std::size_t n = in.size();
  const std::unique_ptr<bool[]> wants(new bool[n]);
  for (std::size_t i = 0; i < n; ++i) wants[i] = in[i].defined() && is_float(in[i].dtype());
  Grads r;
  r.out = f(in);
  Tensors u;
  for (std::size_t i = 0; i < r.out.size(); ++i)
    u.push_back(r.out[i].defined() && is_float(r.out[i].dtype())
                    ? to(cast(randn(r.out[i].shape(), 91 + i), r.out[i].dtype()), r.out[i].device())
                    : Tensor());
  r.grad = pull_back(f, in, u, std::span<const bool>(wants.get(), n));
  return r;
}

double unit_roundoff(DType t) { return t == DType::f16 ? 0x1p-11 : t == DType::bf16 ? 0x1p-8 : 0x1p-24; }

double rounding_error(const Tensor& exact, DType dtype) {
  return relative_error(cast(cast(exact, dtype), DType::f64), exact);
}

void check_dtype(const OpCase& c, const Function& f, In in, DType dtype, Device device) {
  const Tensors low = converted(in, dtype);
  Tensors exact, there;
  for (const Tensor& t : low) {
    exact.push_back(t.defined() && is_float(t.dtype()) ? cast(t, DType::f64) : t);
    there.push_back(to(t, device));
  }
  INFO("dtype ", std::string(name_of(dtype)), " on ", device.str());
  const bool grads = c.order > 0;
  const Grads got = grads ? value_and_grads(f, there) : Grads{f(there), {}};
  const Grads want = grads ? value_and_grads(f, exact) : Grads{f(exact), {}};
  // Values: twice the error of rounding the exact result once. Gradients are several ops in a row, each rounding.
  const auto check = [&](const Tensors& a, const Tensors& b, bool grad, const char* what) {
    for (std::size_t i = 0; i < a.size(); ++i) {
      if (!a[i].defined() || !b[i].defined()) continue;
      CHECK(a[i].device() == device);
      if (!is_float(a[i].dtype())) {
        if (device.kind != DeviceKind::cpu) CHECK(to(a[i], kCpu).values() == b[i].values());
        continue;
      }
      CHECK(a[i].dtype() == dtype);
      const double narrow = grad ? c.grad_roundings * unit_roundoff(dtype) : 2 * rounding_error(b[i], dtype);
      const double bound = (grad ? 3 : 1) * c.tolerance_f32 + (dtype == DType::f32 ? 0.0 : narrow);
      const double error = relative_error(cast(to(a[i], kCpu), DType::f64), b[i]);
      INFO(what, " ", i, ": relative error ", error, " against ", bound);
      CHECK(error <= bound);
    }
  };
  check(got.out, want.out, false, "output");
  check(got.grad, want.grad, true, "gradient");
}

void check_layouts(const OpCase& c, const Function& f, In in, const Tensors& plain) {
  for (int how = 0; how < 4; ++how) {
    Tensors view(in.begin(), in.end());
    bool any = false;
    for (Tensor& t : view) {
      const Tensor r = rearranged(t, how);
      if (r.defined()) {
        t = r;
        any = true;
      }
    }
    if (!any) continue;
    check_same(f(view), plain, std::max(c.tolerance, 1e-13), fmt::format("layout {}", how));
    if (c.order > 0) {
      const Grads a = value_and_grads(f, view), b = value_and_grads(f, in);
      check_same(a.grad, b.grad, std::max(10 * c.tolerance, 1e-11), fmt::format("gradients in layout {}", how));
    }
  }
}

void check_threads(const Function& f, In in) {
  const Tensors low = converted(in, DType::f32);
  const int threads = omp_get_max_threads();
  omp_set_num_threads(1);
  const Tensors one = f(low);
  omp_set_num_threads(2);
  const Tensors two = f(low);
  omp_set_num_threads(threads);
  for (std::size_t i = 0; i < one.size(); ++i)
    if (one[i].defined()) CHECK_MESSAGE(same_bits(one[i], two[i]), "one and two threads give different bits");
}

void check_meta(const Function& f, In in, const Tensors& real) {
  const Tensors shapes = f(on_meta(in));
  REQUIRE(shapes.size() == real.size());
  for (std::size_t i = 0; i < real.size(); ++i) {
    if (!real[i].defined()) continue;
    CHECK(shapes[i].shape() == real[i].shape());
    CHECK(shapes[i].dtype() == real[i].dtype());
    if (real[i].numel() > 0 && real[i].layout().dense()) CHECK(shapes[i].strides() == real[i].strides());
  }
}

void run_sample(const OpCase& c, const Sample& s, bool first) {
  const Function& f = s.fn ? s.fn : c.fn;
  const Function& naive = s.naive ? s.naive : c.naive;
  const Tensors plain = f(s.in);
  if (naive) check_same(plain, naive(s.in), c.tolerance, "value against the naive reference");
  {
    const FusedScope decomposed(false);
    check_same(f(s.in), plain, std::max(c.tolerance, 1e-11), "fused kernel against its decomposition");
  }
  if (c.any_layout) check_layouts(c, f, s.in, plain);
  check_meta(f, s.in, plain);
  if (!c.dtypes.empty()) {
    for (const DType dtype : c.dtypes) check_dtype(c, f, s.in, dtype, kCpu);
    check_threads(f, s.in);
  }
  if (c.order > 0) {
    CheckGrads options;
    options.order = first || c.linear_order ? c.order : 1;
    options.tolerance = c.grad_tolerance;
    options.forward = c.forward;
    options.step = c.step;
    CHECK(check_grads(f, s.in, options) == "");
    if (first) {
      const Grads fused = value_and_grads(f, s.in);
      const FusedScope decomposed(false);
      check_same(fused.grad, value_and_grads(f, s.in).grad, 1e-9, "fused gradient against the decomposition's");
    }
  }
}
}  // namespace

Tensor randn(const Shape& shape, std::uint64_t seed) {
  std::mt19937_64 engine(seed * 1000003 + static_cast<std::uint64_t>(shape.product()));
  std::normal_distribution<double> normal;
  return filled(shape, [&] { return normal(engine); });
}

Tensor uniform(const Shape& shape, double low, double high, std::uint64_t seed) {
  std::mt19937_64 engine(seed * 1000033 + static_cast<std::uint64_t>(shape.product()));
  std::uniform_real_distribution<double> draw(low, high);
  return filled(shape, [&] { return draw(engine); });
}

Tensor randint(const Shape& shape, std::int64_t bound, std::uint64_t seed) {
  std::mt19937_64 engine(seed * 1000037 + static_cast<std::uint64_t>(shape.product()));
  std::vector<std::int64_t> v(static_cast<std::size_t>(shape.product()));
  for (auto& x : v) x = static_cast<std::int64_t>(engine() % static_cast<std::uint64_t>(bound));
  return Tensor::of<std::int64_t>(v, shape);
}

Function per_element(std::function<double(double)> f) {
  return [f](In in) {
    std::vector<double> v = in[0].values();
    for (double& x : v) x = f(x);
    return Tensors{Tensor::from(v, in[0].shape(), DType::f64)};
  };
}

Function per_element2(std::function<double(double, double)> f) {
  return [f](In in) {
    const Shape shape = broadcast_shapes(in[0].shape(), in[1].shape(), "per_element2");
    const auto a = in[0].view(broadcast_layout(in[0].layout(), shape)).values();
    const auto b = in[1].view(broadcast_layout(in[1].layout(), shape)).values();
    std::vector<double> v(a.size());
    for (std::size_t i = 0; i < v.size(); ++i) v[i] = f(a[i], b[i]);
    return Tensors{Tensor::from(v, shape, DType::f64)};
  };
}

double relative_error(const Tensor& a, const Tensor& b) {
  if (!(a.shape() == b.shape())) return INFINITY;
  const auto x = a.values(), y = b.values();
  double diff = 0, norm = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (std::isnan(x[i]) != std::isnan(y[i])) return INFINITY;
    if (std::isnan(x[i]) || x[i] == y[i]) {
      if (std::isfinite(y[i])) norm += y[i] * y[i];
      continue;
    }
    diff += (x[i] - y[i]) * (x[i] - y[i]);
    norm += y[i] * y[i];
  }
  return std::sqrt(diff) / std::max(std::sqrt(norm), 1e-30);
}

void run_op_case(const OpCase& c) {
  REQUIRE(!c.samples.empty());
  for (std::size_t i = 0; i < c.samples.size(); ++i) {
    INFO("op ", c.name, ", sample ", i, " ", c.samples[i].label);
    run_sample(c, c.samples[i], i == 0);
  }
  for (const ErrorSample& e : c.errors) {
    std::string message = "nothing was thrown";
    try {
      e.call();
    } catch (const Error& error) {
      message = error.what();
    }
    INFO("message: ", message);
    CHECK_MESSAGE(message.find(e.fragment) != std::string::npos, "expected an error containing: ", e.fragment);
  }
}

DeviceRun run_on_device(const OpCase& c, Device device, DType dtype, std::int64_t largest) {
  DeviceRun run;
  for (std::size_t i = 0; i < c.samples.size(); ++i) {
    const Sample& s = c.samples[i];
    std::int64_t elements = 0;
    for (const Tensor& t : s.in) elements += t.defined() ? t.numel() : 0;
    if (elements > largest) continue;
    INFO("op ", c.name, ", sample ", i, " ", s.label);
    try {
      check_dtype(c, s.fn ? s.fn : c.fn, s.in, dtype, device);
      ++run.samples;
    } catch (const Error& error) {
      const std::string_view what = error.what();
      bool known = false;
      for (const char* reason : {"no kernel for", "on different devices", "has no values in host memory"})
        known = known || what.find(reason) != std::string_view::npos;
      if (!known) throw;
      if (run.refused.empty()) run.refused = what;
    }
  }
  return run;
}

const OpCaseEntry& new_op_case(const char* name, void (*define)(OpCase&)) {
  cases().push_back({name, define});
  return cases().back();
}

OpCase make_op_case(const OpCaseEntry& entry) {
  OpCase c;
  c.name = entry.name;
  entry.define(c);
  return c;
}

const std::vector<OpCaseEntry>& op_cases() { return cases(); }

}  // namespace retort::testing
