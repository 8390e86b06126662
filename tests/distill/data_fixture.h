// tests/distill/data_fixture.h -- a small data set whose images tell their index, and helpers of the data tests.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "distill/data/loader.h"
#include "tensor/error.h"

namespace retort::test {

/// `count` images of [channels, height, width]; image i has byte (31 i + 7 y + 3 x + c) % 251 at (y, x, c), label i
/// % 3.
class ToyImages : public Dataset {
 public:
  ToyImages(std::int64_t count, Shape image_shape) : Dataset(count, image_shape, {"a", "b", "c"}) {}
  static std::uint8_t byte(std::int64_t i, std::int64_t y, std::int64_t x, std::int64_t c) {
    return static_cast<std::uint8_t>((31 * i + 7 * y + 3 * x + c) % 251);
  }

 protected:
  void read_image_at(std::int64_t index, std::span<std::uint8_t> hwc) const override {
    const Shape& s = image_shape();
    std::size_t at = 0;
    for (std::int64_t y = 0; y < s[1]; ++y)
      for (std::int64_t x = 0; x < s[2]; ++x)
        for (std::int64_t c = 0; c < s[0]; ++c) hwc[at++] = byte(index, y, x, c);
  }
  int label_at(std::int64_t index) const override { return static_cast<int>(index % 3); }
};

/// ToyImages normalised by mean 0.25, stddev 0.5.
inline std::shared_ptr<const Dataset> toy(std::int64_t count, Shape shape = {3, 6, 5}) {
  auto set = std::make_shared<ToyImages>(count, shape);
  const auto channels = static_cast<std::size_t>(shape[0]);
  set->set_normalization({std::vector<float>(channels, 0.25f), std::vector<float>(channels, 0.5f)});
  return set;
}

/// The plan that a job's `augment: LIST` asks for.
inline AugmentPlan plan(const std::string& list) {
  Config config = Config::parse("augment: " + list, "job.yaml");
  return parse_augment(config.child("augment"));
}

inline const std::string kEverything =
    "[flip(p=0.5), crop(pad=2 padding=reflect), cutout(size=3 p=0.5), jitter(brightness=.4 contrast=.4 saturation=.4 "
    "hue=.1), mixup(p=.4), cutmix(p=.5)]";

inline LoaderOptions loader_options(std::int64_t batch, const std::string& augment = "[]") {
  LoaderOptions o;
  o.global_batch = batch;
  o.seed = 7;
  o.augment = plan(augment);
  return o;
}

/// Every field of a batch, as numbers.
inline std::vector<double> fields(const DataBatch& batch) {
  std::vector<double> all;
  for (const Tensor& t : {batch.x, batch.y, batch.y2, batch.lambda, batch.index, batch.sample}) {
    if (!t.defined()) continue;
    const std::vector<double> values = t.values();
    all.insert(all.end(), values.begin(), values.end());
  }
  return all;
}

/// The message of the Error that f throws; empty when it throws none.
template <class F>
std::string error_of(F&& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

inline bool contains(const std::string& text, const std::string& part) { return text.find(part) != text.npos; }

}  // namespace retort::test
