// tests/distill/inner_fixture.h -- Inner terms on small networks and sets, evaluated on their own.
#pragma once
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/shape.h"
#include "distill/objectives/inner.h"
#include "nn/models/mlp.h"
#include "tensor/write.h"

namespace retort::testing {

/// A set of `classes` x `ipc` images of `pixels` values, a linear network, and real images of the same shape, in f64.
struct InnerFixture {
  Roles roles;
  Batch real;
  std::set<std::string> trained{"syn"};
  std::uint32_t step = 0;

  InnerFixture(const std::string& set, const MlpConfig& net) {
    CallArgs args(parse_call(set, "test"));
    PixelSetConfig sized;
    sized.image = {1, 1, 1};
    add("syn", build_pixels(args, sized));
    add("net", std::make_unique<MlpNet>(net));
  }

  void add(const std::string& name, std::unique_ptr<Model> model) {
    Role& role = roles[name];
    role.name = name;
    role.compute = DType::f64;
    role.model = std::move(model);
    convert(*role.model, DType::f64);
    name_modules(*role.model);
    initialize(*role.model, Rng(7));
    role.net = model_net(role);
  }
  Parameter& parameter(const std::string& role, const std::string& name) {
    for (const NamedParameter& p : parameters_of(*roles.at(role).model))
      if (p.name == name) return *p.parameter;
    throw ValueError("no parameter {}", name);
  }
  void set(const std::string& role, const std::string& name, const std::vector<double>& values) {
    const Tensor& v = parameter(role, name).value;
    assign_(v, Tensor::from(values, v.shape(), DType::f64), "test");
  }
  PixelSet& syn() { return dynamic_cast<PixelSet&>(*roles.at("syn").model); }
  void set_real(const std::vector<double>& pixels, const std::vector<std::int64_t>& labels) {
    const auto n = static_cast<std::int64_t>(labels.size());
    Shape shape{n};
    for (int i = 0; i < 3; ++i) shape.push_back(syn().config.image[i]);
    real.x = Tensor::from(pixels, shape, DType::f64);
    real.y = Tensor::of<std::int64_t>(labels, {n});
    real.index = real.sample = arange_ids(n);
  }
  static Tensor arange_ids(std::int64_t n) {
    std::vector<std::int64_t> ids;
    for (std::int64_t i = 0; i < n; ++i) ids.push_back(i);
    return Tensor::of<std::int64_t>(ids, {n});
  }

  struct Result {
    double value;
    std::vector<double> x, lr, y;
    std::int64_t saved;
  };
  /// The term `text` (a map in flow style) and its gradients in the set.
  Result run(const std::string& text) {
    Config config = Config::parse("term: " + text, "test");
    const auto term = make_inner(parse_inner("term", config.child("term"), {}));
    Tape tape;
    Leaves leaves(tape);
    Pass pass{step, Rng(3), true, &leaves, nullptr};
    const Part part = term->eval({real, {}, {}, {}, nullptr, &roles, &pass, &trained});
    Tensors wanted{leaves.of(syn().x, false)};
    if (syn().lr.value.defined()) wanted.push_back(leaves.of(syn().lr, false));
    if (syn().y.value.defined()) wanted.push_back(leaves.of(syn().y, false));
    const std::int64_t saved = tape.saved_bytes();
    const Tensors g = tape.gradients(part.total, wanted);
    Result r{part.total.item(), g[0].values(), {}, {}, saved};
    if (syn().lr.value.defined()) r.lr = g[1].values();
    if (syn().y.value.defined()) r.y = g.back().values();
    return r;
  }
  /// Central difference of the term in element `i` of a parameter of the set.
  double slope(const std::string& text, Parameter& p, std::size_t i, double h = 1e-5) {
    std::vector<double> values = p.value.values();
    const auto at = [&](double d) {
      values[i] += d;
      assign_(p.value, Tensor::from(values, p.value.shape(), DType::f64), "test");
      values[i] -= d;
      return run(text).value;
    };
    const double up = at(h), down = at(-h);
    assign_(p.value, Tensor::from(values, p.value.shape(), DType::f64), "test");
    return (up - down) / (2 * h);
  }
};

}  // namespace retort::testing
