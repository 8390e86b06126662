// distill/data/augment.cpp -- the augmentations' draws, their streams and their configuration.
#include "distill/data/augment.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <map>

#include "distill/train/call.h"
#include "tensor/error.h"
#include "tensor/philox.h"

namespace retort {

float AugmentDraw::uniform(std::uint64_t element) const {
  // fill_uniform's number without its chunk of 128.
  const PhiloxBlock block =
      philox4x32({{static_cast<std::uint32_t>(element / 4), static_cast<std::uint32_t>(row), key.step, key.attempt}},
                 static_cast<std::uint32_t>(key.key), static_cast<std::uint32_t>(key.key >> 32));
  return uniform_from_word(block.word[element % 4]);
}

int AugmentDraw::integer(std::uint64_t element, int bound) const {
  return static_cast<int>(uniform_int(key, row, element, static_cast<std::uint64_t>(bound)));
}

void Flip::operator()(FloatImage image, const AugmentDraw& draw) const {
  if (draw.uniform(0) < p) flip_horizontal(image);
}

void PaddedCrop::operator()(FloatImage image, const AugmentDraw& draw) const {
  const int dy = draw.integer(1, 2 * pad + 1) - pad, dx = draw.integer(2, 2 * pad + 1) - pad;
  shift(image, dy, dx, padding);
}

void Cutout::operator()(FloatImage image, const AugmentDraw& draw) const {
  if (draw.uniform(0) >= p) return;
  const Box box = clipped_box(draw.integer(1, image.height), draw.integer(2, image.width), size, size, image);
  constexpr std::array<float, 3> black{};
  fill_box(image, box, fill == Fill::mean ? draw.mean : std::span<const float>(black));
}

void ColourJitter::operator()(FloatImage image, const AugmentDraw& draw) const {
  if (draw.uniform(0) >= p) return;
  const auto factor = [](double amount, float v) {
    const double low = std::max(0.0, 1 - amount);
    return static_cast<float>(low + (1 + amount - low) * static_cast<double>(v));
  };
  if (brightness > 0) adjust_brightness(image, factor(brightness, draw.uniform(1)));
  if (contrast > 0) adjust_contrast(image, factor(contrast, draw.uniform(2)));
  if (saturation > 0) adjust_saturation(image, factor(saturation, draw.uniform(3)));
  if (hue > 0) adjust_hue(image, static_cast<float>(hue * (2.0 * static_cast<double>(draw.uniform(4)) - 1)));
}

namespace {

constexpr RealBounds kProbability{.min = 0, .max = 1};
constexpr IntBounds kPixels{.min = 1, .max = 8192};

/// The number of the word among `choices`; the first one when the argument is absent.
std::size_t choice(const Call& call, CallArgs& args, const std::string& parameter,
                   const std::vector<std::string>& choices) {
  const std::string word = args.word(parameter, choices.front());
  const auto hit = std::find(choices.begin(), choices.end(), word);
  if (hit == choices.end())
    call.fail(fmt::format("{} is one of {}; got {}", parameter, fmt::join(choices, ", "), word));
  return static_cast<std::size_t>(hit - choices.begin());
}

using Reader = std::function<void(const Call&, CallArgs&, AugmentPlan&)>;

Mixing::Rule read_rule(CallArgs& args) {
  Mixing::Rule rule;
  rule.alpha = args.number("alpha", 1, {.max = 1e6, .above = 0});
  rule.p = args.number("p", 1, kProbability);
  return rule;
}

void read_mixing(const Call& call, CallArgs& args, std::optional<Mixing::Rule>& rule, const Mixing& mixing) {
  if (rule) call.fail("at most one in a list");
  rule = read_rule(args);
  if ((mixing.mixup ? mixing.mixup->p : 0) + (mixing.cutmix ? mixing.cutmix->p : 0) > 1)
    call.fail("a step takes mixup or cutmix, so their probabilities p may not add up to more than 1");
}

const std::map<std::string, Reader>& readers() {
  static const std::map<std::string, Reader> table = {
      {Flip::name, [](const Call&, CallArgs& args,
                      AugmentPlan& plan) { plan.images.emplace_back(Flip{.p = args.number("p", 0.5, kProbability)}); }},
      {PaddedCrop::name,
       [](const Call& call, CallArgs& args, AugmentPlan& plan) {
         PaddedCrop crop{.pad = static_cast<int>(args.integer("pad", kPixels))};
         crop.padding = static_cast<Padding>(choice(call, args, "padding", {"black", "reflect"}));
         plan.images.emplace_back(crop);
       }},
      {Cutout::name,
       [](const Call& call, CallArgs& args, AugmentPlan& plan) {
         Cutout cutout{.size = static_cast<int>(args.integer("size", kPixels))};
         cutout.p = args.number("p", 1, kProbability);
         cutout.fill = static_cast<Cutout::Fill>(choice(call, args, "fill", {"mean", "black"}));
         plan.images.emplace_back(cutout);
       }},
      {ColourJitter::name,
       [](const Call&, CallArgs& args, AugmentPlan& plan) {
         ColourJitter jitter;
         jitter.brightness = args.number("brightness", 0, {.min = 0, .max = 1e3});
         jitter.contrast = args.number("contrast", 0, {.min = 0, .max = 1e3});
         jitter.saturation = args.number("saturation", 0, {.min = 0, .max = 1e3});
         jitter.hue = args.number("hue", 0, {.min = 0, .max = 0.5});
         jitter.p = args.number("p", 1, kProbability);
         plan.images.emplace_back(jitter);
       }},
      {"mixup", [](const Call& call, CallArgs& args,
                   AugmentPlan& plan) { read_mixing(call, args, plan.mixing.mixup, plan.mixing); }},
      {"cutmix", [](const Call& call, CallArgs& args,
                    AugmentPlan& plan) { read_mixing(call, args, plan.mixing.cutmix, plan.mixing); }},
  };
  return table;
}

void check_fits(const Augmentation& augmentation, const Shape& image_shape) {
  const PaddedCrop* crop = std::get_if<PaddedCrop>(&augmentation);
  if (crop != nullptr && crop->padding == Padding::reflect && crop->pad >= std::min(image_shape[1], image_shape[2]))
    throw ValueError("crop: padding=reflect mirrors less than the image's sides; got pad {} for images {}", crop->pad,
                     image_shape.str());
}

}  // namespace

AugmentPlan parse_augment(Config& list) {
  AugmentPlan plan;
  for (Config& item : list.items()) {
    const Call call = parse_call(item);
    CallArgs args(call);
    lookup(readers(), call, "augmentation")(call, args, plan);
    args.done();
  }
  return plan;
}

Augmenter::Augmenter(std::vector<Augmentation> list, const Rng& rng, const std::string& prefix,
                     const Shape& image_shape, std::vector<float> mean)
    : list_(std::move(list)), mean_(std::move(mean)) {
  std::map<std::string, int> seen;
  for (const Augmentation& augmentation : list_) {
    check_fits(augmentation, image_shape);
    const std::string name = std::visit([](const auto& kind) { return std::string(kind.name); }, augmentation);
    const int count = ++seen[name];
    keys_.push_back(rng.stream(prefix + "/" + name + (count == 1 ? "" : "." + std::to_string(count))));
  }
}

void Augmenter::operator()(FloatImage image, std::uint32_t step, std::uint64_t row) const {
  for (std::size_t i = 0; i < list_.size(); ++i) {
    AugmentDraw draw{keys_[i], row, mean_};
    draw.key.step = step;
    std::visit([&](const auto& augmentation) { augmentation(image, draw); }, list_[i]);
  }
}

}  // namespace retort
