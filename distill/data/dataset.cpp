// distill/data/dataset.cpp -- image sets over IDX files, class folders and subsets.
#include "distill/data/dataset.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>

#include "io/image.h"
#include "io/resize.h"
#include "tensor/error.h"
#include "tensor/rng.h"

namespace retort {

Dataset::Dataset(std::int64_t size, Shape image_shape, std::vector<std::string> class_names)
    : size_(size), image_shape_(image_shape), class_names_(std::move(class_names)) {
  const auto channels = static_cast<std::size_t>(image_shape_[0]);
  normalization_ = {std::vector<float>(channels, 0.0f), std::vector<float>(channels, 1.0f)};
}

void Dataset::set_normalization(Normalization normalization) {
  const auto channels = static_cast<std::size_t>(image_shape_[0]);
  if (normalization.mean.size() != channels || normalization.stddev.size() != channels)
    throw ValueError("data set: normalisation needs one mean and one stddev a channel; got {} and {} for {} channels",
                     normalization.mean.size(), normalization.stddev.size(), channels);
  for (std::size_t c = 0; c < channels; ++c) {
    if (!std::isfinite(normalization.mean[c]) || !std::isfinite(normalization.stddev[c]) ||
        normalization.stddev[c] <= 0)
      throw ValueError("data set: normalisation needs finite means and positive stddevs; got mean {}, stddev {}",
                       normalization.mean[c], normalization.stddev[c]);
  }
  normalization_ = std::move(normalization);
}

void Dataset::check_index(std::int64_t index) const {
  if (index < 0 || index >= size_)
    throw ValueError("data set: no image of this index; got {} of {} images", index, size_);
}

void Dataset::image(std::int64_t index, std::span<std::uint8_t> hwc) const {
  check_index(index);
  if (static_cast<std::int64_t>(hwc.size()) != image_shape_.product())
    throw ValueError("data set: an image of shape {} does not fill {} bytes", image_shape_.str(), hwc.size());
  read_image_at(index, hwc);
}

int Dataset::label(std::int64_t index) const {
  check_index(index);
  return label_at(index);
}

std::int64_t Dataset::id(std::int64_t index) const {
  check_index(index);
  return id_at(index);
}

const std::vector<std::string>& fashion_mnist_classes() {
  static const std::vector<std::string> names = {"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
                                                 "Sandal",      "Shirt",   "Sneaker",  "Bag",   "Ankle boot"};
  return names;
}

/// Two files read and found to fit each other.
struct IdxDataset::Files {
  IdxArray images;
  std::vector<int> labels;
  std::vector<std::string> class_names;

  static Files read(const std::string& images_path, const std::string& labels_path,
                    std::vector<std::string> class_names);
  Shape image_shape() const {
    return {images.shape.rank() == 4 ? images.shape[3] : 1, images.shape[1], images.shape[2]};
  }
};

namespace {

std::vector<int> to_labels(const IdxArray& array, const std::string& path) {
  if (array.shape.rank() != 1 || (array.dtype != DType::u8 && array.dtype != DType::i32))
    throw IoError("data set: {}: labels are u8 or i32 of shape [n]; got {}{}", path, name_of(array.dtype),
                  array.shape.str());
  std::vector<int> labels(static_cast<std::size_t>(array.shape[0]));
  for (std::size_t i = 0; i < labels.size(); ++i) {
    std::int32_t label = 0;
    if (array.dtype == DType::u8) {
      label = array.bytes[i];
    } else {
      std::memcpy(&label, &array.bytes[i * sizeof label], sizeof label);
    }
    labels[i] = label;
  }
  return labels;
}

std::vector<std::string> numbered_classes(int count) {
  std::vector<std::string> names;
  for (int c = 0; c < count; ++c) names.push_back(std::to_string(c));
  return names;
}

/// ROOT/NAME or ROOT/NAME.gz, whichever is there; ROOT/NAME when neither is.
std::string plain_or_gzip(const std::string& root, const std::string& name) {
  const std::filesystem::path plain = std::filesystem::path(root) / name;
  const std::string gzip = plain.string() + ".gz";
  std::error_code ignored;
  return !std::filesystem::exists(plain, ignored) && std::filesystem::exists(gzip, ignored) ? gzip : plain.string();
}

}  // namespace

IdxDataset::Files IdxDataset::Files::read(const std::string& images_path, const std::string& labels_path,
                                          std::vector<std::string> class_names) {
  Files files;
  files.images = read_idx(images_path);
  const Shape& shape = files.images.shape;
  const bool gray = shape.rank() == 3, coloured = shape.rank() == 4 && (shape[3] == 1 || shape[3] == 3);
  if (files.images.dtype != DType::u8 || !(gray || coloured) || shape.product() == 0)
    throw IoError("data set: {}: images are u8 of shape [n, H, W] or [n, H, W, 1 or 3], none of them 0; got {}{}",
                  images_path, name_of(files.images.dtype), shape.str());
  files.labels = to_labels(read_idx(labels_path), labels_path);
  if (static_cast<std::int64_t>(files.labels.size()) != shape[0])
    throw IoError("data set: {}: {} labels for the {} images of {}", labels_path, files.labels.size(), shape[0],
                  images_path);
  // Classes without names are numbered as far as the labels go; 2^20 of them is more than any labelled set has.
  const auto [lowest, highest] = std::minmax_element(files.labels.begin(), files.labels.end());
  const int limit = class_names.empty() ? 1 << 20 : static_cast<int>(class_names.size());
  if (*lowest < 0 || *highest >= limit)
    throw IoError("data set: {}: labels must be in [0, {}); got {} to {}", labels_path, limit, *lowest, *highest);
  files.class_names = class_names.empty() ? numbered_classes(*highest + 1) : std::move(class_names);
  return files;
}

IdxDataset::IdxDataset(Files files)
    : Dataset(files.images.shape[0], files.image_shape(), std::move(files.class_names)),
      pixels_(std::move(files.images.bytes)),
      labels_(std::move(files.labels)) {}

IdxDataset::IdxDataset(const std::string& images_path, const std::string& labels_path,
                       std::vector<std::string> class_names)
    : IdxDataset(Files::read(images_path, labels_path, std::move(class_names))) {}

std::shared_ptr<IdxDataset> IdxDataset::mnist_files(const std::string& root, const std::string& split,
                                                    std::vector<std::string> class_names) {
  if (split != "train" && split != "test") throw ValueError("data set: split is train or test; got \"{}\"", split);
  const std::string stem = split == "train" ? "train" : "t10k";
  return std::make_shared<IdxDataset>(plain_or_gzip(root, stem + "-images-idx3-ubyte"),
                                      plain_or_gzip(root, stem + "-labels-idx1-ubyte"), std::move(class_names));
}

std::shared_ptr<IdxDataset> IdxDataset::fashion_mnist(const std::string& split, const std::string& root) {
  std::error_code ignored;
  if (!std::filesystem::is_directory(root, ignored))
    throw IoError("fashion-mnist: {}: no such folder; install the Debian package dataset-fashion-mnist, or set root",
                  root);
  std::shared_ptr<IdxDataset> set;
  try {
    set = mnist_files(root, split, fashion_mnist_classes());
  } catch (const IoError& e) {
    throw IoError("fashion-mnist: {}; the Debian package dataset-fashion-mnist brings these files", e.what());
  }
  set->set_normalization({{0.2860f}, {0.3530f}});
  return set;
}

void IdxDataset::read_image_at(std::int64_t index, std::span<std::uint8_t> hwc) const {
  std::memcpy(hwc.data(), pixels_.data() + static_cast<std::size_t>(index) * hwc.size(), hwc.size());
}

ImageFolderDataset::ImageFolderDataset(const std::string& root, int size, int channels)
    : ImageFolderDataset(scan_image_folder(root), size, channels) {}

ImageFolderDataset::ImageFolderDataset(ImageFolder folder, int size, int channels)
    : Dataset(static_cast<std::int64_t>(folder.items.size()), {channels, size, size}, std::move(folder.classes)),
      items_(std::move(folder.items)) {
  if (size < 1 || (channels != 1 && channels != 3))
    throw ValueError("image folder: size must be positive and channels 1 or 3; got size {}, channels {}", size,
                     channels);
}

void ImageFolderDataset::read_image_at(std::int64_t index, std::span<std::uint8_t> hwc) const {
  const int size = static_cast<int>(image_shape()[1]);
  const Image image = read_image(path(index), static_cast<int>(image_shape()[0]));
  try {
    const Image out = center_crop(resize_shorter_side(image, size), size, size);
    std::copy(out.pixels.begin(), out.pixels.end(), hwc.begin());
  } catch (const ShapeError& e) {  // a picture so narrow that its longer side would leave the limits
    throw IoError("{}: {}", path(index), e.what());
  }
}

namespace {

/// The lowest indices of each class, as many as `count_of(images in the class)` says, in ascending order.
template <class F>
std::vector<std::int64_t> first_of_each_class(const Dataset& base, F&& count_of) {
  std::vector<std::int64_t> left(static_cast<std::size_t>(base.classes()));
  for (std::int64_t i = 0; i < base.size(); ++i) ++left[static_cast<std::size_t>(base.label(i))];
  for (std::size_t c = 0; c < left.size(); ++c) left[c] = count_of(static_cast<int>(c), left[c]);
  std::vector<std::int64_t> indices;
  for (std::int64_t i = 0; i < base.size(); ++i)
    if (left[static_cast<std::size_t>(base.label(i))]-- > 0) indices.push_back(i);
  return indices;
}

}  // namespace

namespace {
std::vector<std::string> counted(int classes) {
  std::vector<std::string> names;
  for (int c = 0; c < classes; ++c) names.push_back(std::to_string(c));
  return names;
}
}  // namespace

PatternDataset::PatternDataset(std::int64_t count, int classes, int size, std::uint64_t seed)
    : Dataset(count, {1, size, size}, counted(classes)), pixels_(size * size), seed_(seed) {
  if (classes < 1 || classes > 16 || size < 4)
    throw ValueError("patterns: expected 1 to 16 classes and a size of at least 4; got {} and {}", classes, size);
}

void PatternDataset::read_image_at(std::int64_t index, std::span<std::uint8_t> hwc) const {
  const int size = static_cast<int>(image_shape()[2]), kind = static_cast<int>(index % classes());
  const int period = 1 + kind / 4;
  std::vector<float> noise(static_cast<std::size_t>(pixels_));
  fill_uniform(std::span<float>(noise), Rng(seed_).stream("patterns"), static_cast<std::uint64_t>(index));
  for (int p = 0; p < pixels_; ++p) {
    const int row = p / size / period % 2, column = p % size / period % 2;
    const int bright[4] = {row, column, row ^ column, 0};
    const float level = 160.0f * static_cast<float>(bright[kind % 4]) + 90.0f * noise[static_cast<std::size_t>(p)];
    hwc[static_cast<std::size_t>(p)] = static_cast<std::uint8_t>(level);
  }
}

Subset::Subset(std::shared_ptr<const Dataset> base, std::vector<std::int64_t> indices)
    : Dataset(static_cast<std::int64_t>(indices.size()), base->image_shape(), base->class_names()),
      base_(std::move(base)),
      indices_(std::move(indices)) {
  if (indices_.empty()) throw ValueError("subset: it has no images");
  for (const std::int64_t i : indices_) {
    if (i < 0 || i >= base_->size())
      throw ValueError("subset: index outside the set; got {} of {} images", i, base_->size());
  }
  set_normalization(base_->normalization());
}

std::shared_ptr<Subset> Subset::first_per_class(std::shared_ptr<const Dataset> base, std::int64_t count) {
  auto indices = first_of_each_class(*base, [&](int label, std::int64_t available) {
    if (count < 1 || count > available)
      throw ValueError("subset: class \"{}\" has {} images; got {} images a class asked for",
                       base->class_names()[static_cast<std::size_t>(label)], available, count);
    return count;
  });
  return std::make_shared<Subset>(std::move(base), std::move(indices));
}

std::shared_ptr<Subset> Subset::class_fraction(std::shared_ptr<const Dataset> base, double fraction) {
  if (!(fraction > 0 && fraction <= 1)) throw ValueError("subset: fraction must be in (0, 1]; got {}", fraction);
  auto indices = first_of_each_class(*base, [fraction](int, std::int64_t available) {
    return std::max<std::int64_t>(1, std::llround(fraction * static_cast<double>(available)));
  });
  return std::make_shared<Subset>(std::move(base), std::move(indices));
}

void Subset::read_image_at(std::int64_t index, std::span<std::uint8_t> hwc) const {
  base_->image(base_index(index), hwc);
}

}  // namespace retort
