#include "tests/nn/reference.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "distill/train/models.h"
#include "nn/grad_accumulator.h"
#include "retort_paths.h"
#include "tensor/write.h"

namespace retort::testing {

namespace {
using Json = nlohmann::ordered_json;  // inputs stay in the order of the fixture
using Digest = std::array<double, 5>;

RngKey key_of(const std::string& name) { return Rng(0).stream("fixture/" + name); }

Tensor draw(const std::string& name, const Shape& shape, std::string_view fill) {
  std::vector<double> u(static_cast<std::size_t>(shape.product()));
  fill_uniform(std::span(u), key_of(name), 0);
  double middle = 0, half = 1;
  if (fill == "scale" || fill == "shift") half = 0.1;
  if (fill == "scale") middle = 1;
  if (fill == "weight") half = std::sqrt(3.0 * static_cast<double>(shape[0]) / static_cast<double>(shape.product()));
  for (double& v : u) v = middle + half * (2 * v - 1);
  return Tensor::from(u, shape, DType::f64);
}

Shape shape_of(const Json& j) {
  Shape shape;
  for (const Json& extent : j) shape.push_back(extent.get<std::int64_t>());
  return shape;
}

Digest digest_of(const Tensor& t) {
  const std::vector<double> v = t.values();
  std::vector<std::uint32_t> words(v.size());
  Digest d{};
  for (const double x : v) d[0] += x * x;
  d[0] = std::sqrt(d[0]);
  for (std::size_t k = 0; k + 1 < d.size(); ++k) {
    fill_bits(words, key_of(fmt::format("projection {}", k)), 0);
    double sums[4] = {};  // signs are unpredictable: multiplied, not branched on
    for (std::size_t i = 0; i < v.size(); ++i)
      sums[i % 4] += v[i] * (1 - 2 * static_cast<double>(static_cast<std::int32_t>(words[i] >> 31)));
    d[k + 1] = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  }
  return d;
}

/// The larger of two differences; a NaN is the largest.
double larger(double a, double b) { return std::isnan(b) ? INFINITY : std::max(a, b); }

double difference(const Digest& a, const Digest& b, double scale) {
  double worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i) worst = larger(worst, std::abs(a[i] - b[i]) / scale);
  return worst;
}

/// Against a stored tensor: its shape, its digest and the values kept of it, if any.
double difference(const Tensor& t, const Json& stored) {
  if (!t.defined() || !(t.shape() == shape_of(stored["shape"]))) return INFINITY;
  const Digest expected = stored["digest"].get<Digest>();
  const double worst = difference(digest_of(t), expected, expected[0]);
  if (!stored.contains("values")) return worst;
  const std::vector<double> all = t.values(), kept = stored["values"].get<std::vector<double>>();
  const std::size_t step = all.size() == kept.size() ? 1 : all.size() / kept.size();
  double square = 0, norm = 0;
  for (std::size_t i = 0; i < kept.size(); ++i) {
    square += std::pow(all[i * step] - kept[i], 2);
    norm += kept[i] * kept[i];
  }
  return larger(worst, std::sqrt(square / norm));
}

void note(Disagreement& all, double Disagreement::*kind, double value, const std::string& what) {
  if (value > all.most()) all.worst = what;
  all.*kind = std::max(all.*kind, value);
}

void evaluate(const Json& j, const ReferenceForward& forward, std::span<const Tensor> inputs, Disagreement& all) {
  Ctx ctx;
  std::vector<std::string> names;
  if (j.contains("taps"))
    for (const auto& [name, stored] : j["taps"].items()) {
      const auto colon = name.find(':');
      names.push_back(name);
      ctx.wanted.push_back({name.substr(0, colon), colon == name.npos ? "out" : name.substr(colon + 1)});
    }
  const Tensor y = forward(inputs, ctx);
  note(all, &Disagreement::output, difference(y, j["output"]), "output");
  ctx.tapped.resize(names.size());
  for (std::size_t i = 0; i < names.size(); ++i)
    note(all, &Disagreement::taps, difference(ctx.tapped[i], j["taps"][names[i]]), "tap " + names[i]);
}

/// One forward and backward in training mode.
struct Training {
  Tensor output;
  std::vector<Tensor> gradients;  ///< parallel to the module's parameters; none without backward
  std::vector<StatUpdate> statistics;
};

Training train(Module& m, const ReferenceForward& forward, std::span<const Tensor> inputs, bool gradients,
               bool recompute) {
  Training result;
  GradAccumulator sink(parameters_of(m));
  Tape tape;
  Leaves leaves(tape);
  sink.attach(leaves);
  Ctx ctx;
  ctx.training = true;
  ctx.recompute = recompute;
  ctx.leaves = gradients ? &leaves : nullptr;
  ctx.stats = &result.statistics;
  const Tensor y = forward(inputs, ctx);
  result.output = y.unlifted();
  if (gradients) {
    const Tensor cotangent = cast(draw("cotangent", y.shape(), "uniform"), y.dtype());
    tape.backward(std::span(&y, 1), std::span(&cotangent, 1), sink);
    result.gradients = sink.grads();
  }
  return result;
}

/// Against the stored digests, or against the gradients of another run when given.
void compare_gradients(const Json& tensors, Module& m, const std::vector<Tensor>& gradients,
                       const std::vector<Tensor>* other, Disagreement& all) {
  double total = 0;
  for (const auto& [name, stored] : tensors.items())
    if (stored.contains("gradient")) total = std::hypot(total, stored["gradient"][0].get<double>());
  const auto parameters = parameters_of(m);
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    const Json& stored = tensors[parameters[i].name];
    const Digest expected = stored.contains("gradient") ? stored["gradient"].get<Digest>() : Digest{};
    const double scale = expected[0] > 1e-9 * total ? expected[0] : total;
    const double d = other ? larger(0, std::sqrt(sum(square(gradients[i] - (*other)[i])).item()) / scale)
                           : difference(digest_of(gradients[i]), expected, scale);
    note(all, &Disagreement::gradients, d, "gradient of " + parameters[i].name);
  }
}

void compare_statistics(const Json& tensors, Module& m, std::span<const StatUpdate> updates, Disagreement& all) {
  std::vector<Tensor> before;
  for (const auto& b : buffers_of(m)) before.push_back(copy_of(b.buffer->value));
  apply_statistics(updates);
  std::size_t i = 0;
  for (const auto& [name, b] : buffers_of(m)) {
    const Digest expected = tensors[name]["updated"].get<Digest>();
    note(all, &Disagreement::statistics, difference(digest_of(b->value), expected, expected[0]), name);
    assign_(b->value, before[i++]);
  }
}

ReferenceForward forward_of(const Model& m) {
  return [&m](std::span<const Tensor> in, Ctx& ctx) { return m.forward(in[0], ctx); };
}
}  // namespace

double Disagreement::most() const { return std::max({output, taps, gradients, statistics}); }

Reference::Reference(const std::string& name) : json_(std::make_unique<nlohmann::ordered_json>()) {
  const std::string path = std::string(RETORT_SOURCE_ROOT) + "/tests/fixtures/" + name + ".json";
  std::ifstream in(path);
  if (!in) throw IoError("fixture: cannot open {}; hint: tests/fixtures/dump.py {}", path, name);
  *json_ = Json::parse(in);
}

Reference::~Reference() = default;

std::string Reference::arch() const { return (*json_)["arch"]; }

std::unique_ptr<Model> Reference::model(DType dtype) const {
  auto model = build_model(parse_call(arch(), "fixture"), {});
  convert(*model, dtype);
  fill(*model);
  return model;
}

void Reference::fill(Module& m) const {
  const Json& tensors = (*json_)["tensors"];
  std::vector<std::string> ours, missing;
  const auto set = [&](const std::string& name, const Tensor& value) {
    ours.push_back(name);
    if (!tensors.contains(name)) return missing.push_back(name + " (not in the reference)");
    const Shape shape = shape_of(tensors[name]["shape"]);
    if (!(shape == value.shape())) return missing.push_back(fmt::format("{} is {} there", name, shape.str()));
    assign_(value, draw(name, shape, tensors[name]["fill"].get<std::string>()), "fixture");
  };
  for (const auto& [name, p] : parameters_of(m)) set(name, p->value);
  for (const auto& [name, b] : buffers_of(m)) set(name, b->value);
  for (const auto& [name, stored] : tensors.items())
    if (std::find(ours.begin(), ours.end(), name) == ours.end()) missing.push_back(name + " (not in the model)");
  if (!missing.empty()) throw ShapeError("fixture: {} differs in: {}", arch(), fmt::join(missing, ", "));
}

std::vector<ForeignTensor> Reference::foreign() const {
  std::vector<ForeignTensor> all;
  for (const auto& [name, stored] : (*json_)["tensors"].items()) {
    Tensor value = cast(draw(name, shape_of(stored["shape"]), stored["fill"].get<std::string>()), DType::f32);
    if (stored["transposed"].get<bool>()) value = contiguous(transpose(value, 0, 1));
    if (stored.contains("foreign_shape")) value = reshape(value, shape_of(stored["foreign_shape"]));
    all.push_back({stored["foreign"].get<std::string>(), name, value});
  }
  return all;
}

std::string Reference::configuration() const { return (*json_)["configuration"].dump(2) + "\n"; }

std::vector<Tensor> Reference::inputs(DType dtype) const {
  std::vector<Tensor> all;
  for (const auto& [name, input] : (*json_)["inputs"].items()) {
    const Shape shape = shape_of(input["shape"]);
    const auto range = input["range"].get<std::int64_t>();
    if (range == 0) {
      all.push_back(cast(draw("input " + name, shape, "uniform"), dtype));
      continue;
    }
    std::vector<double> u(static_cast<std::size_t>(shape.product()));
    fill_uniform(std::span(u), key_of("input " + name), 0);
    for (double& v : u) v = std::floor(v * static_cast<double>(range));
    all.push_back(Tensor::from(u, shape, DType::i64));
  }
  return all;
}

Disagreement Reference::compare(Module& m, const ReferenceForward& forward) const {
  Disagreement all;
  const DType dtype = parameters_of(m).front().parameter->value.dtype();
  const std::vector<Tensor> in = inputs(dtype);
  evaluate(*json_, forward, in, all);
  const Json& j = *json_;
  const bool gradients = dtype == DType::f64 || !j.value("kinks", false);
  const Training plain = train(m, forward, in, gradients, false);
  note(all, &Disagreement::output, difference(plain.output, j["training_output"]), "training output");
  compare_gradients(j["tensors"], m, plain.gradients, nullptr, all);
  compare_statistics(j["tensors"], m, plain.statistics, all);
  if (!gradients) return all;
  const Training again = train(m, forward, in, true, true);
  compare_gradients(j["tensors"], m, again.gradients, &plain.gradients, all);
  compare_statistics(j["tensors"], m, again.statistics, all);
  return all;
}

Disagreement Reference::compare(Model& m) const { return compare(m, forward_of(m)); }

Disagreement Reference::compare_evaluation(Model& m) const {
  Disagreement all;
  evaluate(*json_, forward_of(m), inputs(parameters_of(m).front().parameter->value.dtype()), all);
  return all;
}

void check_reference(const std::string& name) {
  const Reference reference(name);
  for (const DType dtype : {DType::f64, DType::f32}) {
    const auto model = reference.model(dtype);
    const Disagreement d = reference.compare(*model);
    INFO(name, " in ", std::string(name_of(dtype)), ": ", d.worst, "; output ", d.output, ", taps ", d.taps,
         ", gradients ", d.gradients, ", statistics ", d.statistics);
    CHECK(d.most() < (dtype == DType::f64 ? 1e-9 : 1e-4));
  }
}

}  // namespace retort::testing
