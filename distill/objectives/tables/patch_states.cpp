// distill/objectives/tables/patch_states.cpp -- what masked autoencoders are asked to predict.
#include <cmath>

#include "autograd/ops/nn.h"
#include "autograd/ops/shape.h"
#include "distill/data/hog.h"
#include "distill/objectives/tables/entries.h"
#include "nn/models/mae.h"

namespace retort {

namespace {
/// Rows of [n, patches, d] that the mask of this step hides, or shows.
Tensor masked_rows(const StateInput& in, const Tensor& patches, const PatchMask& mask, bool hidden) {
  const auto at = mask.of(in.pass.rng, in.pass.step, in.batch.sample, patches.size(1), patches.device());
  return token_rows(patches, hidden ? at.hidden : at.visible);
}

/// An extent in pixels, which may be a constant number of the preset.
std::int64_t parse_extent(TableArgs& args, const std::string& name, double fallback) {
  const double extent = args.scheduled(name, fallback).at({});
  if (extent < 1) throw ConfigError("points: {} is a number of pixels; got {}", name, extent);
  return std::llround(extent);
}

PatchMask parse_mask(TableArgs& args) {
  PatchMask mask;
  mask.ratio = args.scheduled("mask", mask.ratio).at({});
  mask.views = static_cast<int>(args.integer("views", 1, {.min = 1, .max = 2}));
  return mask;
}

bool parse_side(TableArgs& args) {
  const Call side{args.word("which", "hidden"), {}, "which"};
  return lookup(std::map<std::string, bool>{{"hidden", true}, {"visible", false}}, side, "side of the mask");
}

State make_patches(TableArgs& args) {
  const std::string from = args.word("state");
  const std::int64_t patch = parse_extent(args, "patch", 16);
  const PatchMask mask = parse_mask(args);
  const bool hidden = parse_side(args);
  return {{}, {}, [=](const StateInput& in) {
            return masked_rows(in, patches_of(stop_gradient(named(in, from)), patch), mask, hidden);
          }};
}

State make_hog(TableArgs& args) {
  const std::string from = args.word("state");
  const std::int64_t patch = parse_extent(args, "patch", 16), cell = parse_extent(args, "cell", 8);
  const PatchMask mask = parse_mask(args);
  const bool hidden = parse_side(args);
  return {{}, {}, [=](const StateInput& in) {
            const Tensor cells = oriented_gradients(stop_gradient(named(in, from)), cell);
            const Tensor rows = layer_norm(patches_of(cells, patch / cell), {}, {}, 1e-5);
            return masked_rows(in, rows, mask, hidden);
          }};
}

}  // namespace

const Table<State>& patch_states() {
  static const Table<State> entries{{"patches", make_patches}, {"hog", make_hog}};
  return entries;
}

}  // namespace retort
