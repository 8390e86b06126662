#include "distill/train/pixel_sets.h"

#include "autograd/ops/image.h"
#include "autograd/ops/shape.h"
#include "distill/data/pixel_set.h"
#include "distill/data/sequential.h"
#include "tensor/write.h"

namespace retort {

std::vector<std::int64_t> random_per_class(const Dataset& set, std::int64_t count, const RngKey& key) {
  const auto classes = static_cast<std::size_t>(set.classes());
  std::vector<std::vector<std::int64_t>> of(classes);
  for (std::int64_t i = 0; i < set.size(); ++i) of[static_cast<std::size_t>(set.label(i))].push_back(i);
  std::vector<std::int64_t> chosen;
  for (std::size_t c = 0; c < classes; ++c) {
    if (of[c].empty()) throw ConfigError("class {} has no images to begin with", set.class_names()[c]);
    const RngKey own{key.key, key.step, static_cast<std::uint32_t>(c)};
    for (std::int64_t k = 0; k < count; ++k) {
      const auto place = static_cast<std::uint64_t>(k) % of[c].size();
      chosen.push_back(of[c][permuted_index(own, of[c].size(), place)]);
    }
  }
  return chosen;
}

namespace {
/// Images of a set as a network sees them.
Tensor images_of(const std::shared_ptr<const Dataset>& set, const std::vector<std::int64_t>& indices, DType dtype) {
  SequentialBatches batches(std::make_shared<Subset>(set, indices), static_cast<std::int64_t>(indices.size()), dtype,
                            0);
  return batches.at(0).x;
}

/// [n f^2, C, H, W], f^2 images for a slot one after the other -> [n, C, H, W]: each of them a tile.
Tensor tiled(const Tensor& images, std::int64_t f) {
  if (f == 1) return images;
  const std::int64_t n = images.size(0) / (f * f), h = images.size(2), w = images.size(3);
  const Tensor small =
      reshape(resize2d(images, h / f, w / f, {.antialias = true}), {n, f * f, images.size(1), h / f, w / f});
  Tensors rows;
  for (std::int64_t i = 0; i < f; ++i) {
    Tensors row;
    for (std::int64_t j = 0; j < f; ++j) row.push_back(select(small, 1, i * f + j));
    rows.push_back(concat(row, 3));
  }
  return concat(rows, 2);
}

void note_range(PixelSet& set, const Normalization& n) {
  const auto channels = static_cast<std::size_t>(set.config.image[0]);
  for (const bool white : {false, true}) {
    std::vector<double> ends;
    for (std::size_t c = 0; c < channels; ++c) ends.push_back(((white ? 1.0 : 0.0) - n.mean[c]) / n.stddev[c]);
    assign_((white ? set.high : set.low).value, Tensor::from(ends, {set.config.image[0]}), "range");
  }
}

void fill_real(PixelSet& set, CallArgs& args, const Call& call, Setup& setup, DType dtype) {
  const std::string source = args.word("source");
  const auto data = lookup(setup.sources, Call{source, {}, call.where}, "source")->set();
  if (!data) call.fail(fmt::format("source {} has no images", source));
  const std::string teacher = args.word("labels", "none");
  if (set.x.value.meta()) return;
  const std::int64_t tiles = set.config.decode * set.config.decode;
  const RngKey key = Rng(setup.seed).stream("init/real");
  const auto indices = random_per_class(*data, set.config.per_class * tiles, key);
  const Tensor images = tiled(images_of(data, indices, dtype), set.config.decode);
  assign_(set.x.value, images, "init");
  if (teacher == "none") return;
  Pass pass;
  pass.training = false;
  const Role& role = lookup(setup.roles, Call{teacher, {}, call.where}, "role");
  const Tensor answers = role.net->eval({images, {}, {}, {}, {}}, {}, Grad::None, pass).out;
  if (!(answers.shape() == set.y.value.shape()))
    call.fail(fmt::format("role {} answers {}, but labels are {}", teacher, answers.str(), set.y.value.str()));
  assign_(set.y.value, stop_gradient(answers), "init");
}
}  // namespace

void fill_pixel_sets(Config& method, Setup& setup, DType dtype) {
  for (Config& node : method.child("roles").items()) {
    auto* set = dynamic_cast<PixelSet*>(setup.roles.at(node.key()).model.get());
    if (!set) continue;
    set->set_plain_labels();
    if (!set->x.value.meta())
      for (const auto& [name, source] : setup.sources)
        if (const auto data = source->set()) note_range(*set, data->normalization());
    const Call call = node.has("init") ? parse_call(node.child("init")) : Call{"noise", {}, node.where()};
    CallArgs args(call);
    if (call.name == "real")
      fill_real(*set, args, call, setup, dtype);
    else if (call.name != "noise")
      fail_lookup(call, "initial value of a set", {"noise", "real"});
    args.done();
  }
}

void allocate_trajectories(Setup& setup, DType dtype) {
  for (auto& [name, store] : setup.trajectories) {
    std::int64_t runs = 0, points = 0, size = 0;
    for (const PhaseSpec& phase : setup.phases)
      for (const RecordSpec& r : phase.records) {
        if (r.store != name) continue;
        const std::int64_t weights = parameter_count(*setup.roles.at(r.role).model);
        if (size != 0 && size != weights)
          throw ConfigError("store {}: networks of {} and {} weights are recorded", name, size, weights);
        size = weights;
        runs = std::max(runs, r.run + 1);
        points = std::max(points, phase.steps / r.every + 1);
      }
    if (size == 0) throw ConfigError("store {}: no phase records into it", name);
    store.table = Tensor::zeros({runs, points, size}, dtype, setup.device);
  }
}

void read_drawn_params(Config& method, const NumberMap& numbers, Setup& setup) {
  for (Config& node : method.child("roles").items()) {
    if (!node.has("params")) continue;
    const Call call = with_numbers(parse_call(node.child("params")), numbers);
    const Role& role = setup.roles.at(node.key());
    if (auto drawn = make_drawn_params(call, role, setup.trajectories, setup.roles))
      setup.drawn[role.name] = std::move(drawn);
  }
}

}  // namespace retort
