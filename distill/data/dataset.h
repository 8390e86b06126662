// distill/data/dataset.h -- labelled 8-bit image sets: IDX files, class folders, subsets of another set.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "distill/train/config.h"
#include "io/idx.h"
#include "io/image_folder.h"
#include "tensor/shape.h"

namespace retort {

/// What turns a byte v of channel c into a network's input: (v / 255 - mean[c]) / stddev[c].
struct Normalization {
  std::vector<float> mean, stddev;
};

/// A finite sequence of images of one size with a class each. Reading is const and may be done from any number of
/// threads at once.
class Dataset {
 public:
  virtual ~Dataset() = default;
  std::int64_t size() const { return size_; }
  const Shape& image_shape() const { return image_shape_; }  ///< [C, H, W]
  int classes() const { return static_cast<int>(class_names_.size()); }
  const std::vector<std::string>& class_names() const { return class_names_; }
  const Normalization& normalization() const { return normalization_; }
  /// Replaces the default (mean 0, stddev 1). Throws ValueError unless there is one mean and one positive stddev a
  /// channel.
  void set_normalization(Normalization normalization);

  /// Writes image `index`, rows from the top, channels interleaved, into `hwc`, which holds C H W bytes. Throws IoError
  /// naming the file when it cannot be read; ValueError for an index or a span of the wrong size.
  void image(std::int64_t index, std::span<std::uint8_t> hwc) const;
  /// The class in [0, classes()).
  int label(std::int64_t index) const;
  /// The image's index in the set that this one was taken from; its own index for a set that is not a Subset.
  std::int64_t id(std::int64_t index) const;

 protected:
  Dataset(std::int64_t size, Shape image_shape, std::vector<std::string> class_names);
  /// The same three for an index that was checked.
  virtual void read_image_at(std::int64_t index, std::span<std::uint8_t> hwc) const = 0;
  virtual int label_at(std::int64_t index) const = 0;
  virtual std::int64_t id_at(std::int64_t index) const { return index; }

 private:
  void check_index(std::int64_t index) const;
  std::int64_t size_;
  Shape image_shape_;
  std::vector<std::string> class_names_;
  Normalization normalization_;
};

/// The ten classes of Fashion-MNIST (Xiao, Rasul, Vollgraf 2017), in the order of its labels.
const std::vector<std::string>& fashion_mnist_classes();
/// Where Debian's package dataset-fashion-mnist puts its files.
inline constexpr const char* kFashionMnistRoot = "/usr/share/datasets/fashion-mnist";

/// Images u8 [n, H, W] or [n, H, W, C] (C 1 or 3) and labels u8 or i32 [n] in two IDX files, held in memory.
/// `class_names` empty: as many classes as the largest label asks for, named "0", "1", ... Throws IoError when the
/// files do not fit each other or a label is out of range.
class IdxDataset : public Dataset {
 public:
  IdxDataset(const std::string& images_path, const std::string& labels_path, std::vector<std::string> class_names = {});
  /// The files train-images-idx3-ubyte[.gz], t10k-labels-idx1-ubyte[.gz], ... of `root`. `split`: "train" or "test".
  static std::shared_ptr<IdxDataset> mnist_files(const std::string& root, const std::string& split,
                                                 std::vector<std::string> class_names = {});
  /// mnist_files with Fashion-MNIST's class names and its usual normalisation, mean 0.2860, stddev 0.3530; an IoError
  /// for missing files names the package that brings them.
  static std::shared_ptr<IdxDataset> fashion_mnist(const std::string& split,
                                                   const std::string& root = kFashionMnistRoot);

 protected:
  void read_image_at(std::int64_t index, std::span<std::uint8_t> hwc) const override;
  int label_at(std::int64_t index) const override { return labels_[static_cast<std::size_t>(index)]; }

 private:
  struct Files;
  explicit IdxDataset(Files files);
  std::vector<std::uint8_t> pixels_;
  std::vector<int> labels_;
};

/// PNG and JPEG files under ROOT/CLASS/ (io/image_folder.h), decoded on demand: the shorter side is resized to `size`
/// (antialiased bilinear) and the centre size x size is cropped. `channels` is 1 or 3.
class ImageFolderDataset : public Dataset {
 public:
  ImageFolderDataset(const std::string& root, int size, int channels = 3);
  const std::string& path(std::int64_t index) const { return items_.at(static_cast<std::size_t>(index)).path; }

 protected:
  void read_image_at(std::int64_t index, std::span<std::uint8_t> hwc) const override;
  int label_at(std::int64_t index) const override { return items_[static_cast<std::size_t>(index)].label; }

 private:
  ImageFolderDataset(ImageFolder folder, int size, int channels);
  std::vector<ImageFolder::Item> items_;
};

/// Grey images drawn from a rule, for trials without files: class 0 has bright rows, 1 bright columns, 2 a
/// chequerboard, 3 none, over noise; further classes have stripes of a larger period. Flips keep the class.
class PatternDataset : public Dataset {
 public:
  /// Throws ValueError unless 1 <= classes <= 16 and size >= 4.
  PatternDataset(std::int64_t count, int classes, int size, std::uint64_t seed);

 protected:
  void read_image_at(std::int64_t index, std::span<std::uint8_t> hwc) const override;
  int label_at(std::int64_t index) const override { return static_cast<int>(index % classes()); }

 private:
  int pixels_;
  std::uint64_t seed_;
};

/// Some images of another set, in the given order, repeats allowed. Classes and normalisation are the base's; `id` is
/// the base's.
class Subset : public Dataset {
 public:
  /// Throws ValueError for an index outside the base or an empty list.
  Subset(std::shared_ptr<const Dataset> base, std::vector<std::int64_t> indices);
  /// The `count` images of lowest index of each class, in the base's order. Throws ValueError when a class has fewer.
  static std::shared_ptr<Subset> first_per_class(std::shared_ptr<const Dataset> base, std::int64_t count);
  /// Of each class of n images the max(1, round(fraction n)) of lowest index, in the base's order; 0 < fraction <= 1.
  static std::shared_ptr<Subset> class_fraction(std::shared_ptr<const Dataset> base, double fraction);

 protected:
  void read_image_at(std::int64_t index, std::span<std::uint8_t> hwc) const override;
  int label_at(std::int64_t index) const override { return base_->label(base_index(index)); }
  std::int64_t id_at(std::int64_t index) const override { return base_->id(base_index(index)); }

 private:
  std::int64_t base_index(std::int64_t index) const { return indices_[static_cast<std::size_t>(index)]; }
  std::shared_ptr<const Dataset> base_;
  std::vector<std::int64_t> indices_;
};

/// The data set that a section of a job describes. Keys:
///   kind: fashion-mnist | idx | image_folder | patterns
///   root: folder (fashion-mnist: Debian's by default); split: train | test (train)
///   images, labels: two files, for kind idx without root; classes: number of classes, for kind idx
///   size, channels (3): for image_folder, whose split names a folder under root and may be absent
///   count, classes (4), size (8), seed (1): for patterns
///   normalize: {mean, std}: a number or one a channel; fashion-mnist 0.2860 and 0.3530, otherwise 0 and 1
///   at most one of per_class: n, fraction: f, limit: n (the first n), indices: [..]
/// Other keys of the section are left alone for their own reader.
std::shared_ptr<const Dataset> make_dataset(Config& config);

}  // namespace retort
