// distill/train/feature_heads.cpp -- entries of table `head` for feature methods.
#include "distill/objectives/heads/feature_heads.h"

#include "distill/objectives/heads/token_mlp.h"
#include "distill/train/head_table.h"

namespace retort {

namespace {
using Made = std::unique_ptr<HeadModule>;

/// The width of the one vector, or of the last axis of tokens.
std::int64_t width_of(const Shape& s) { return s[s.rank() - 1]; }

template <bool norm>
Made conv_each(CallArgs&, const Call& call, const HeadSizes& sizes) {
  expect(call, sizes, sizes.from.size(), sizes.from.size());
  return std::make_unique<ConvEach>(sizes.from, sizes.like, norm);
}

Made shared_linear(CallArgs&, const Call& call, const HeadSizes& sizes) {
  expect(call, sizes, sizes.from.size(), 1);
  return std::make_unique<SharedLinear>(width_of(sizes.from.at(0)), width_of(sizes.like[0]));
}

template <bool unit>
Made embed(CallArgs& args, const Call& call, const HeadSizes& sizes) {
  expect(call, sizes, 1, 0);
  const std::int64_t dim = args.integer("dim", 128, {.min = 1});
  return std::make_unique<SharedLinear>(width_of(sizes.from[0]), dim, unit);
}

Made ensemble(CallArgs& args, const Call& call, const HeadSizes& sizes) {
  expect(call, sizes, 1, 1);
  const auto count = static_cast<int>(args.integer("count", 3, {.min = 1, .max = 100}));
  return std::make_unique<ProjectorEnsemble>(width_of(sizes.from[0]), width_of(sizes.like[0]), count);
}

Made normed_linear(CallArgs&, const Call& call, const HeadSizes& sizes) {
  expect(call, sizes, 1, 1);
  return std::make_unique<NormedLinear>(width_of(sizes.from[0]), width_of(sizes.like[0]));
}

Made reuse(CallArgs& args, const Call& call, const HeadSizes& sizes) {
  expect(call, sizes, 1, 1);
  const std::string classifier = args.word("classifier");
  return std::make_unique<ReusedClassifier>(sizes.from[0], sizes.like[0], sizes.value(classifier + ".weight"),
                                            sizes.value(classifier + ".bias"));
}

Made variational(CallArgs&, const Call& call, const HeadSizes& sizes) {
  expect(call, sizes, 1, 1);
  return std::make_unique<GaussianRegressor>(sizes.from[0][0], sizes.like[0][0]);
}

Made margin_relu(CallArgs& args, const Call& call, const HeadSizes& sizes) {
  expect(call, sizes, 1, 0);
  const std::string norm = args.word("norm");
  return std::make_unique<MarginRelu>(sizes.value(norm + ".weight"), sizes.value(norm + ".bias"));
}

Made review_pyramid(CallArgs&, const Call& call, const HeadSizes& sizes) {
  expect(call, sizes, sizes.from.size(), sizes.from.size());
  return std::make_unique<ReviewPyramid>(sizes.from, sizes.like);
}

Made masked_generator(CallArgs& args, const Call& call, const HeadSizes& sizes) {
  expect(call, sizes, 1, 1);
  const double share = args.number("share", .65, {.min = 0, .max = .99});
  const std::string over = args.word("over", "positions");
  if (over != "positions" && over != "channels") call.fail("over=positions or over=channels");
  return std::make_unique<MaskedGenerator>(sizes.from[0][0], sizes.like[0][0], share, over == "channels");
}

Made cooperative_masks(CallArgs& args, const Call& call, const HeadSizes& sizes) {
  expect(call, sizes, 2, 0);
  const std::int64_t masks = args.integer("masks", 6, {.min = 1});
  return std::make_unique<CooperativeMasks>(sizes.from[0][0], sizes.from[1][0], masks);
}

Made token_mlp(CallArgs& args, const Call& call, const HeadSizes& sizes) {
  expect(call, sizes, sizes.from.size(), 0);
  const std::int64_t dim = args.integer("dim", {.min = 1});
  const auto layers = static_cast<int>(args.integer("layers", 3, {.min = 0, .max = 100}));
  return std::make_unique<TokenMlp>(width_of(sizes.from.at(0)), dim, layers);
}

Made shared_exits(CallArgs&, const Call& call, const HeadSizes& sizes) {
  expect(call, sizes, sizes.from.size(), 0);
  const auto count = static_cast<std::int64_t>(sizes.from.size());
  return std::make_unique<SharedExits>(count, width_of(sizes.from.at(0)), sizes.classes);
}
}  // namespace

const HeadTable& feature_heads() {
  static const HeadTable entries{
      {"conv", conv_each<false>},
      {"conv_norm", conv_each<true>},
      {"shared_linear", shared_linear},
      {"embed", embed<true>},
      {"project", embed<false>},
      {"ensemble", ensemble},
      {"normed_linear", normed_linear},
      {"reuse", reuse},
      {"variational", variational},
      {"margin_relu", margin_relu},
      {"review_pyramid", review_pyramid},
      {"masked_generator", masked_generator},
      {"cooperative_masks", cooperative_masks},
      {"shared_exits", shared_exits},
      {"token_mlp", token_mlp},
  };
  return entries;
}

}  // namespace retort
