#include "autograd/check_grads.h"

#include <cmath>
#include <memory>

#include "autograd/jvp.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/reduce.h"
#include "autograd/tape.h"

namespace retort {

namespace {
using Function = std::function<Tensors(std::span<const Tensor>)>;

/// Values in [-1, 1) that depend on seed and position only (splitmix64); quality matters little here.
Tensor direction(const Shape& shape, std::uint64_t seed) {
  std::vector<double> v(static_cast<std::size_t>(shape.product()));
  std::uint64_t state = seed * 0x9e3779b97f4a7c15ull;
  for (double& x : v) {
    state += 0x9e3779b97f4a7c15ull;
    std::uint64_t z = state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    x = static_cast<double>((z ^ (z >> 31)) >> 11) * 0x1p-52 - 1.0;
  }
  return Tensor::from(v, shape, DType::f64);
}

double dot(const Tensor& a, const Tensor& b) {
  return a.numel() == 0 ? 0.0 : sum(mul(stop_gradient(a), stop_gradient(b))).item();
}

struct Checker {
  const CheckGrads& options;
  std::string problem;

  void compare(double a, double b, int order, std::string_view what) {
    if (!problem.empty()) return;
    if (!(std::abs(a - b) <= options.tolerance * std::max({1.0, std::abs(a), std::abs(b)})))
      problem = fmt::format("order {}: {}: {:.12g} against {:.12g}", order, what, a, b);
  }

  void fits(const Tensor& derivative, const Tensor& value, int order, std::string_view what) {
    if (problem.empty() && !(derivative.shape() == value.shape()))
      problem = fmt::format("order {}: {} is {} for a value {}", order, what, derivative.str(), value.str());
  }

  void run(const Function& f, std::span<const Tensor> x, int order, std::uint64_t seed) {
    if (order > options.order || !problem.empty()) return;
    const std::size_t n = x.size();
    const std::unique_ptr<bool[]> wants(new bool[n]);
    Tensors v(n), plus(x.begin(), x.end()), minus(x.begin(), x.end());
    for (std::size_t i = 0; i < n; ++i) {
      wants[i] = x[i].defined() && x[i].dtype() == DType::f64;
      if (!wants[i]) continue;
      v[i] = direction(x[i].shape(), seed + 17 * i + 3);
      plus[i] = x[i] + v[i] * options.step;
      minus[i] = x[i] - v[i] * options.step;
    }
    const Tensors y = f(x), yp = f(plus), ym = f(minus);
    Tensors u(y.size());
    double numeric = 0;
    for (std::size_t i = 0; i < y.size(); ++i) {
      if (!y[i].defined() || !is_float(y[i].dtype())) continue;
      u[i] = direction(y[i].shape(), seed + 31 * i + 5);
      numeric += (dot(u[i], yp[i]) - dot(u[i], ym[i])) / (2 * options.step);
    }
    const auto pulled = [f, u, n](std::span<const Tensor> in) {
      const std::unique_ptr<bool[]> w(new bool[n]);
      for (std::size_t i = 0; i < n; ++i) w[i] = in[i].defined() && in[i].dtype() == DType::f64;
      Tensors g = pull_back(f, in, u, std::span<const bool>(w.get(), n));
      for (std::size_t i = 0; i < n; ++i)
        if (w[i] && !g[i].defined()) g[i] = Tensor::zeros(in[i].shape(), DType::f64);
      Tensors floats;
      for (Tensor& t : g)
        if (t.defined()) floats.push_back(t);
      return floats;
    };
    const Tensors g = pulled(x);
    double reverse = 0;
    for (std::size_t i = 0, k = 0; i < n; ++i) {
      if (!wants[i]) continue;
      fits(g[k], x[i], order, "a gradient");
      reverse += dot(g[k++], v[i]);
    }
    compare(numeric, reverse, order, "finite difference against reverse mode");
    if (options.forward) {
      const JvpResult j = jvp(f, x, v, JvpMode::tracked);
      double forward = 0;
      for (std::size_t i = 0; i < y.size(); ++i) {
        if (!u[i].defined()) continue;
        fits(j.tangent[i], y[i], order, "a tangent");
        forward += dot(u[i], j.tangent[i]);
      }
      compare(reverse, forward, order, "<J'u, v> against <u, Jv>");
      const auto pushed = [f, v](std::span<const Tensor> in) { return jvp(f, in, v, JvpMode::tracked).tangent; };
      run(pushed, x, order + 1, seed * 7 + 1);
    }
    run(pulled, x, order + 1, seed * 5 + 1);
  }
};
}  // namespace

std::string check_grads(const Function& f, std::span<const Tensor> inputs, const CheckGrads& options) {
  Checker checker{options, {}};
  checker.run(f, inputs, 1, options.seed);
  return checker.problem;
}

}  // namespace retort
