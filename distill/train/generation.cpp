#include "distill/train/generation.h"

#include <cctype>
#include <set>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/shape.h"
#include "distill/data/image_grid.h"
#include "distill/data/normalization.h"
#include "distill/objectives/match.h"
#include "distill/train/ranks.h"
#include "nn/layers/linear.h"
#include "tensor/transfer.h"
#include "tensor/write.h"

namespace retort {

namespace {
constexpr std::int64_t kShown = 100;

/// The input of the last linear layer.
TapId features_of(Model& model, Config& at) {
  struct Finder final : Visitor {
    std::string path;
    void enter(const std::string&, Module& m) override {
      if (dynamic_cast<const Linear*>(&m)) path = m.path();
    }
  } finder;
  model.visit(finder);
  if (finder.path.empty()) at.fail(fmt::format("{} has no linear layer; name a tap", model.arch()));
  return {finder.path, "in"};
}

Generation::Features parse_features(Config& node, const RoleSettings& settings, const Normalization& usual) {
  Generation::Features f;
  f.net = saved_role(node, settings);
  f.tap = node.has("tap") ? parse_tap(node.get<std::string>("tap")) : features_of(*f.net->model, node);
  f.normalization = parse_normalization(node.child("normalize"), usual);
  return f;
}

/// [C, 1, 1], to be broadcast over images.
Tensor channels(const std::vector<float>& values, const Tensor& like) {
  const auto n = static_cast<std::int64_t>(values.size());
  if (like.meta()) return Tensor::empty({n, 1, 1}, like.dtype(), like.device());
  return to(Tensor::from(std::vector<double>(values.begin(), values.end()), {n, 1, 1}, like.dtype()), like.device());
}

/// Values of images as bytes would keep them, in the normalisation of the network that looks at them.
Tensor seen_by(const Generation::Features& f, const Tensor& x, const Normalization& own) {
  const Tensor levels = round(clamp(x * channels(own.stddev, x) + channels(own.mean, x), 0, 1) * 255.0) / 255.0;
  return (levels - channels(f.normalization.mean, x)) / channels(f.normalization.stddev, x);
}

/// Features [n, d] of images that lie in the normalisation `own`, where the host reads them.
Tensor features(const Generation::Features& f, const Tensor& x, const Normalization& own) {
  Pass pass;
  pass.training = false;
  const Want want{.out = false, .taps = {f.tap}};
  const Tensor value = f.net->net->eval({seen_by(f, x, own), {}, {}, {}, {}}, want, Grad::None, pass).taps.at(0);
  return on_host(reshape(value, {x.size(0), -1}));
}

/// Numbers of features [n, d], with d in front: what a rank tells the others.
std::vector<double> told(const Tensor& features) {
  std::vector<double> numbers{static_cast<double>(features.size(1))};
  const auto values = features.values();
  numbers.insert(numbers.end(), values.begin(), values.end());
  return numbers;
}
void add_told(FeatureMoments& moments, std::span<const double> numbers) {
  const auto width = static_cast<std::int64_t>(numbers[0]);
  const auto values = numbers.subspan(1);
  moments.add(Tensor::from(values, {static_cast<std::int64_t>(values.size()) / width, width}, DType::f64));
}

FeatureMoments moments_of(const Generation& g, const std::shared_ptr<const Dataset>& set, Device device,
                          Communicator* ranks) {
  FeatureMoments moments;
  SequentialBatches batches(set, g.batch, g.dtype);
  if (device.kind == DeviceKind::meta) {
    features(g.features, batches.meta_batch(std::min(g.batch, set->size())).x, set->normalization());
    return moments;
  }
  in_turn(
      ranks, batches.size(),
      [&](std::int64_t i) { return told(features(g.features, to(batches.at(i).x, device), set->normalization())); },
      [&](std::int64_t, std::span<const double> numbers) { add_told(moments, numbers); });
  return moments;
}

/// Batches of samples of one row.
class Drawing {
 public:
  Drawing(const Generation& g, const Generation::Row& row, const Setup& setup) : g_(g), row_(row), setup_(setup) {}

  std::int64_t batches() const { return (g_.count + g_.batch - 1) / g_.batch; }
  std::int64_t rows(std::int64_t i) const { return std::min(g_.batch, g_.count - i * g_.batch); }
  DrawnSamples draw(std::int64_t seed, std::int64_t i) const {
    const Rng rng(Rng(setup_.seed).stream(fmt::format("generate/{}", seed)).key);
    return draw_samples(row_.sampler, setup_.roles,
                        keyed_samples(rng, i * g_.batch, rows(i), g_.sample, g_.dtype, setup_.device));
  }
  /// One batch, whatever that takes; how often networks are called for it.
  std::int64_t rehearse() const {
    const DrawnSamples drawn = draw(0, 0);
    if (g_.reference) features(g_.features, drawn.x, *g_.own);
    return drawn.calls;
  }

 private:
  const Generation& g_;
  const Generation::Row& row_;
  const Setup& setup_;
};

GeneratedRow run_row(const Generation& g, const Generation::Row& row, const Setup& setup,
                     const FeatureMoments& reference, Communicator* ranks) {
  GeneratedRow result{row.name, 0, {}, {}, {}};
  const Drawing drawing(g, row, setup);
  if (setup.device.kind == DeviceKind::meta) {
    result.calls = drawing.rehearse();
    return result;
  }
  const std::int64_t shown_batches = (std::min(kShown, g.count) + g.batch - 1) / g.batch;
  Tensors shown;
  const auto show = [&](const Tensor& x, std::int64_t i) {
    shown.push_back(on_host(copy_of(slice(x, 0, 0, std::min(drawing.rows(i), kShown - i * g.batch)))));
  };
  for (std::int64_t k = 0; k < (g.reference ? row.seeds : 0); ++k) {
    FeatureMoments moments;
    in_turn(
        ranks, drawing.batches(),
        [&](std::int64_t i) {
          const DrawnSamples drawn = drawing.draw(k, i);
          if (!ranks && k == 0 && i < shown_batches) show(drawn.x, i);
          std::vector<double> numbers = told(features(g.features, drawn.x, *g.own));
          numbers.push_back(static_cast<double>(drawn.calls));
          return numbers;
        },
        [&](std::int64_t, std::span<const double> numbers) {
          result.calls = static_cast<std::int64_t>(numbers.back());
          add_told(moments, numbers.first(numbers.size() - 1));
        });
    result.distances.push_back(frechet_distance(moments, reference));
  }
  if (shown.empty() && (!ranks || ranks->rank() == 0))  // not judged, or drawn by others
    for (std::int64_t i = 0; i < (g.reference ? shown_batches : drawing.batches()); ++i) {
      const DrawnSamples drawn = drawing.draw(0, i);
      result.calls = drawn.calls;
      if (i < shown_batches) show(drawn.x, i);
    }
  if (!shown.empty()) result.shown = concat(shown, 0);
  result.spread = spread_of(result.distances);
  return result;
}
}  // namespace

Generation parse_generation(Config& node, const Samplers& samplers, const NumberMap& numbers, const Roles& roles,
                            const RoleSettings& settings,
                            const std::function<std::shared_ptr<const Dataset>(Config&)>& set_named) {
  Generation g;
  g.sample = settings.sample;
  g.dtype = settings.dtype;
  const bool compared = node.has("reference");
  g.count = node.get_int("count", 10000, {.min = compared ? 2 : 1});
  g.batch = node.get_int("batch", 250, {.min = 1});
  if (compared) {
    g.reference = set_named(node.child("reference"));
    g.own = g.reference->normalization();
    g.features = parse_features(node.child("features"), settings, *g.own);
  } else if (node.has("normalize")) {
    const auto channels = static_cast<std::size_t>(g.sample[0]);
    g.own = parse_normalization(node.child("normalize"),
                                {std::vector<float>(channels, 0), std::vector<float>(channels, 1)});
  }
  const std::int64_t seeds = node.get_int("seeds", 3, {.min = 1});
  std::set<std::string> files;
  for (Config& r : node.child("rows").items()) {
    if (!files.insert(row_file(r.key())).second)
      r.fail(fmt::format("another row's samples go by the file name {}, too", row_file(r.key())));
    Generation::Row row{r.key(), {}, r.get_int("seeds", seeds, {.min = 1})};
    row.sampler = r.has("sampler") ? lookup(samplers, parse_call(r.child("sampler")), "sampler")
                                   : parse_sampler(r, numbers, roles);
    g.rows.push_back(std::move(row));
  }
  if (g.rows.empty()) node.child("rows").fail("name at least one: {one step: {sampler: NAME}}");
  return g;
}

GenerationResult run_generation(const Generation& generation, const Setup& setup, const EvalData& test,
                                Communicator* ranks) {
  GenerationResult results;
  FeatureMoments reference;
  if (generation.reference) {
    reference = moments_of(generation, generation.reference, setup.device, ranks);
    const FeatureMoments real = moments_of(generation, test.set, setup.device, ranks);
    if (setup.device.kind != DeviceKind::meta) results.floor = frechet_distance(real, reference);
  }
  for (const Generation::Row& row : generation.rows)
    results.rows.push_back(run_row(generation, row, setup, reference, ranks));
  return results;
}

std::string row_file(std::string row) {
  for (char& c : row)
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '-') c = '_';
  return row;
}

std::string generation_table(const Generation& g, const GenerationResult& results) {
  std::size_t width = 16;
  for (const GeneratedRow& row : results.rows) width = std::max(width, row.name.size());
  if (!g.reference) {
    std::string text = fmt::format("{} samples each\n{:<{}} {:>6}\n", g.count, "sampler", width, "calls");
    for (const GeneratedRow& row : results.rows) text += fmt::format("{:<{}} {:>6}\n", row.name, width, row.calls);
    return text;
  }
  std::string text = fmt::format(
      "Frechet distance of {} samples to {} images, features {}.{} of {}\n{:<{}} {:>6} {:>10} {:>10} {:>6}\n", g.count,
      g.reference->size(), g.features.tap.path, g.features.tap.port, g.features.net->name, "samples", width, "calls",
      "distance", "deviation", "seeds");
  text += fmt::format("{:<{}} {:>6} {:>10.4g}\n", "real test images", width, "-", results.floor);
  for (const GeneratedRow& row : results.rows)
    text += fmt::format("{:<{}} {:>6} {:>10.4g} {:>10.2g} {:>6}\n", row.name, width, row.calls, row.spread.mean,
                        row.spread.deviation, row.distances.size());
  return text;
}

std::vector<std::uint8_t> samples_png(const Generation& g, std::size_t row, const GeneratedRow& result) {
  const Shape& s = g.sample;
  if (!g.own || s.rank() != 3 || (s[0] != 1 && s[0] != 3)) return {};
  std::vector<double> black, white;
  for (std::size_t c = 0; c < g.own->mean.size(); ++c) {
    black.push_back((0 - g.own->mean[c]) / g.own->stddev[c]);
    white.push_back((1 - g.own->mean[c]) / g.own->stddev[c]);
  }
  const std::int64_t classes = g.rows[row].sampler.classes;
  return image_grid_png(result.shown, black, white, classes > 0 && classes <= 20 ? classes : 10, 2);
}

}  // namespace retort
