// distill/data/make_dataset.cpp -- data sets from the `data` section of a job.
#include <filesystem>
#include <limits>
#include <numeric>

#include "distill/data/normalization.h"
#include "tensor/error.h"

namespace retort {
namespace {

constexpr IntBounds kPositive{.min = 1};

std::shared_ptr<Dataset> make_idx(Config& config) {
  std::vector<std::string> names;
  if (config.has("classes")) {
    const std::int64_t count = config.get_int("classes", {.min = 1, .max = 1 << 20});
    for (std::int64_t c = 0; c < count; ++c) names.push_back(std::to_string(c));
  }
  if (config.has("root"))
    return IdxDataset::mnist_files(config.get<std::string>("root"),
                                   config.get_choice("split", {"train", "test"}, "train"), names);
  return std::make_shared<IdxDataset>(config.get<std::string>("images"), config.get<std::string>("labels"), names);
}

std::shared_ptr<Dataset> make_image_folder(Config& config) {
  std::filesystem::path root = config.get<std::string>("root");
  if (config.has("split")) root /= config.get<std::string>("split");
  const auto size = static_cast<int>(config.get_int("size", {.min = 1, .max = 8192}));
  const auto channels = static_cast<int>(config.get_int("channels", 3, {.min = 1, .max = 3}));
  if (channels == 2) config.child("channels").fail("images have 1 or 3 channels; got 2");
  return std::make_shared<ImageFolderDataset>(root.string(), size, channels);
}

std::shared_ptr<Dataset> make_whole(Config& config) {
  const std::string kind =
      config.get_choice("kind", {"fashion-mnist", "idx", "image_folder", "patterns", "text", "markov"});
  if (kind == "text" || kind == "markov") config.fail("a set of texts has no images");
  if (kind == "patterns")
    return std::make_shared<PatternDataset>(
        config.get_int("count", kPositive), static_cast<int>(config.get_int("classes", 4, {.min = 1, .max = 16})),
        static_cast<int>(config.get_int("size", 8, {.min = 4, .max = 1024})), config.get("seed", std::uint64_t{1}));
  if (kind == "fashion-mnist") {
    const std::string root = config.get("root", kFashionMnistRoot);
    return IdxDataset::fashion_mnist(config.get_choice("split", {"train", "test"}, "train"), root);
  }
  return kind == "idx" ? make_idx(config) : make_image_folder(config);
}

void normalize(Config& config, Dataset& set) {
  Config& section = config.child("normalize");
  const Normalization usual = set.normalization();
  Normalization given = parse_normalization(section, usual);
  try {
    set.set_normalization(std::move(given));
  } catch (const ValueError& e) {
    section.fail(e.what());
  }
}

std::shared_ptr<const Dataset> select(Config& config, std::shared_ptr<const Dataset> set) {
  int rules = 0;
  for (const char* key : {"per_class", "fraction", "limit", "indices"}) rules += config.has(key) ? 1 : 0;
  if (rules > 1) config.fail("at most one of per_class, fraction, limit and indices can choose the images");
  try {
    if (config.has("per_class")) return Subset::first_per_class(set, config.get_int("per_class", kPositive));
    if (config.has("fraction")) return Subset::class_fraction(set, config.get_real("fraction", {.max = 1, .above = 0}));
    if (config.has("limit")) {
      std::vector<std::int64_t> first(
          static_cast<std::size_t>(config.get_int("limit", {.min = 1, .max = set->size()})));
      std::iota(first.begin(), first.end(), 0);
      return std::make_shared<Subset>(set, std::move(first));
    }
    if (config.has("indices")) return std::make_shared<Subset>(set, config.get<std::vector<std::int64_t>>("indices"));
  } catch (const ValueError& e) {
    config.fail(e.what());
  }
  return set;
}

}  // namespace

std::shared_ptr<const Dataset> make_dataset(Config& config) {
  std::shared_ptr<Dataset> set = make_whole(config);
  normalize(config, *set);
  return select(config, set);
}

}  // namespace retort
