// tests/distill/dataset_test.cpp -- IDX sets, image folders, subsets and the job section that describes them.
#include "distill/data/dataset.h"

#include <doctest/doctest.h>

#include <filesystem>

#include "io/image.h"
#include "tests/distill/data_fixture.h"
#include "tests/io/test_files.h"

using namespace retort;
using namespace retort::test;

namespace {

/// An IDX file of bytes with the given extents.
void write_idx(const std::string& path, const std::vector<std::uint32_t>& extents, const Bytes& values) {
  Bytes bytes = {0, 0, 8, static_cast<std::uint8_t>(extents.size())};
  for (const std::uint32_t e : extents)
    for (int shift = 24; shift >= 0; shift -= 8) bytes.push_back(static_cast<std::uint8_t>(e >> shift));
  bytes.insert(bytes.end(), values.begin(), values.end());
  test::write_bytes(path, bytes);
}

/// Three 2 x 2 images with labels 1, 0, 2 under MNIST's file names.
void write_mnist_files(const TemporaryFolder& folder) {
  write_idx(folder.file("train-images-idx3-ubyte"), {3, 2, 2}, {0, 1, 2, 3, 10, 11, 12, 13, 20, 21, 22, 23});
  write_idx(folder.file("train-labels-idx1-ubyte"), {3}, {1, 0, 2});
}

std::vector<int> bytes_of(const Dataset& set, std::int64_t index) {
  Bytes hwc(static_cast<std::size_t>(set.image_shape().product()));
  set.image(index, hwc);
  return {hwc.begin(), hwc.end()};
}

std::vector<std::int64_t> ids_of(const Dataset& set) {
  std::vector<std::int64_t> ids;
  for (std::int64_t i = 0; i < set.size(); ++i) ids.push_back(set.id(i));
  return ids;
}

std::shared_ptr<const Dataset> made(const std::string& yaml) {
  Config config = Config::parse(yaml, "job.yaml");
  auto set = make_dataset(config);
  config.check_all_read();
  return set;
}

}  // namespace

TEST_CASE("dataset: a pair of IDX files gives images, labels and numbered classes") {
  const TemporaryFolder folder;
  write_mnist_files(folder);
  const auto set = IdxDataset::mnist_files(folder.path(), "train");
  CHECK(set->size() == 3);
  CHECK(set->image_shape() == Shape{1, 2, 2});
  CHECK(set->class_names() == std::vector<std::string>{"0", "1", "2"});
  CHECK(bytes_of(*set, 1) == std::vector<int>{10, 11, 12, 13});
  CHECK(set->label(0) == 1);
  CHECK(set->label(2) == 2);
  CHECK(set->id(2) == 2);
  CHECK(set->normalization().mean == std::vector<float>{0});
  CHECK(set->normalization().stddev == std::vector<float>{1});

  write_idx(folder.file("rgb"), {3, 1, 2, 3}, Bytes(18, 9));
  const IdxDataset rgb(folder.file("rgb"), folder.file("train-labels-idx1-ubyte"), {"x", "y", "z", "unused"});
  CHECK(rgb.image_shape() == Shape{3, 1, 2});
  CHECK(rgb.classes() == 4);
}

TEST_CASE("dataset: IDX files that do not fit are refused by name") {
  const TemporaryFolder folder;
  write_mnist_files(folder);
  const std::string images = folder.file("train-images-idx3-ubyte"), labels = folder.file("train-labels-idx1-ubyte");
  CHECK(contains(error_of([&] { IdxDataset(labels, labels); }), "images are u8 of shape [n, H, W]"));
  CHECK(contains(error_of([&] { IdxDataset(images, images); }), "labels are u8 or i32 of shape [n]"));
  CHECK(contains(error_of([&] { IdxDataset(images, labels, {"a", "b"}); }), "labels must be in [0, 2); got 0 to 2"));
  write_idx(folder.file("two"), {2}, {0, 1});
  CHECK(contains(error_of([&] { IdxDataset(images, folder.file("two")); }), "2 labels for the 3 images"));
  CHECK_THROWS_AS(IdxDataset::mnist_files(folder.path(), "test"), IoError);
  CHECK_THROWS_AS(IdxDataset::mnist_files(folder.path(), "valid"), ValueError);
  const IdxDataset set(images, labels);
  CHECK_THROWS_AS(set.label(3), ValueError);
  CHECK_THROWS_AS(set.label(-1), ValueError);
  CHECK_THROWS_AS(set.id(3), ValueError);
  Bytes wrong(5);
  CHECK_THROWS_AS(set.image(0, wrong), ValueError);
}

TEST_CASE("dataset: missing Fashion-MNIST names the package that brings it") {
  const TemporaryFolder folder;
  for (const std::string& root : {folder.file("nowhere"), folder.path()}) {
    const std::string error = error_of([&] { IdxDataset::fashion_mnist("train", root); });
    CHECK(contains(error, "dataset-fashion-mnist"));
    CHECK(contains(error, root));
    CHECK_THROWS_AS(IdxDataset::fashion_mnist("train", root), IoError);
  }
}

TEST_CASE("dataset: the installed Fashion-MNIST has 6000 and 1000 images of each of ten classes") {
  if (!std::filesystem::exists(kFashionMnistRoot)) {
    MESSAGE("skipped: the package dataset-fashion-mnist is not installed");
    return;
  }
  for (const auto& [split, each] : {std::pair{"train", 6000}, {"test", 1000}}) {
    const auto set = IdxDataset::fashion_mnist(split);
    CHECK(set->size() == 10 * each);
    CHECK(set->image_shape() == Shape{1, 28, 28});
    CHECK(set->class_names() == fashion_mnist_classes());
    std::vector<int> counts(10);
    double sum = 0;
    Bytes hwc(784);
    for (std::int64_t i = 0; i < set->size(); ++i) {
      ++counts[static_cast<std::size_t>(set->label(i))];
      set->image(i, hwc);
      for (const std::uint8_t v : hwc) sum += v;
    }
    CHECK(counts == std::vector<int>(10, each));
    // The constants everybody normalises with are the training images' own.
    CHECK(sum / (784.0 * 255 * 10 * each) == doctest::Approx(0.2860).epsilon(0.005));
    CHECK(set->normalization().mean == std::vector<float>{0.2860f});
    CHECK(set->normalization().stddev == std::vector<float>{0.3530f});
  }
}

TEST_CASE("dataset: an image folder is resized on its shorter side and cropped at the centre") {
  const TemporaryFolder folder;
  std::filesystem::create_directories(folder.file("cat"));
  std::filesystem::create_directories(folder.file("dog"));
  Image wide{8, 4, 1, {}};
  for (int i = 0; i < 32; ++i) wide.pixels.push_back(i % 8 < 2 || i % 8 >= 6 ? 255 : static_cast<std::uint8_t>(i % 8));
  write_png(folder.file("dog/wide.png"), wide);
  write_png(folder.file("cat/square.png"), {2, 2, 3, {200, 100, 50, 200, 100, 50, 200, 100, 50, 200, 100, 50}});
  test::write_bytes(folder.file("dog/broken.png"), {1, 2, 3});

  const ImageFolderDataset gray(folder.path(), 4, 1);
  CHECK(gray.class_names() == std::vector<std::string>{"cat", "dog"});
  REQUIRE(gray.size() == 3);
  CHECK(gray.label(2) == 1);
  CHECK(bytes_of(gray, 2) == std::vector<int>{2, 3, 4, 5, 2, 3, 4, 5, 2, 3, 4, 5, 2, 3, 4, 5});
  const ImageFolderDataset rgb(folder.path(), 1);
  CHECK(rgb.image_shape() == Shape{3, 1, 1});
  CHECK(bytes_of(rgb, 0) == std::vector<int>{200, 100, 50});
  CHECK(contains(error_of([&] { bytes_of(gray, 1); }), "dog/broken.png"));
  CHECK_THROWS_AS(bytes_of(gray, 1), IoError);
  CHECK_THROWS_AS(ImageFolderDataset(folder.path(), 4, 2), ValueError);
}

TEST_CASE("dataset: subsets keep the ids of the set they come from, also through each other") {
  auto base = std::make_shared<ToyImages>(20, Shape{1, 2, 2});
  base->set_normalization({{0.5f}, {0.25f}});
  const auto few = Subset::first_per_class(base, 2);
  CHECK(ids_of(*few) == std::vector<std::int64_t>{0, 1, 2, 3, 4, 5});
  const auto picked = std::make_shared<Subset>(base, std::vector<std::int64_t>{19, 4, 4, 7});
  CHECK(ids_of(*picked) == std::vector<std::int64_t>{19, 4, 4, 7});
  CHECK(picked->label(0) == 1);
  CHECK(bytes_of(*picked, 3) == bytes_of(*base, 7));
  CHECK(picked->normalization().mean == std::vector<float>{0.5f});
  CHECK(picked->class_names() == base->class_names());
  CHECK(ids_of(Subset(picked, {3, 0})) == std::vector<std::int64_t>{7, 19});
  // Labels go 0 1 2 0 1 2 ...: 7, 7 and 6 images; 0.3 of them is 2, 2 and 2; 0.01 is at least one.
  CHECK(ids_of(*Subset::class_fraction(base, 0.3)) == std::vector<std::int64_t>{0, 1, 2, 3, 4, 5});
  CHECK(ids_of(*Subset::class_fraction(base, 0.01)) == std::vector<std::int64_t>{0, 1, 2});
  CHECK(Subset::class_fraction(base, 1)->size() == 20);
  CHECK_THROWS_AS(Subset(base, {20}), ValueError);
  CHECK_THROWS_AS(Subset(base, {}), ValueError);
  CHECK_THROWS_AS(Subset::class_fraction(base, 0), ValueError);
  CHECK(contains(error_of([&] { Subset::first_per_class(base, 7); }), "class \"c\" has 6 images"));
}

TEST_CASE("dataset: a job's section makes the set and takes nothing it does not know") {
  const TemporaryFolder folder;
  write_mnist_files(folder);
  const std::string root = "kind: idx\nroot: " + folder.path() + "\n";
  CHECK(made(root)->size() == 3);
  CHECK(made(root + "classes: 5")->classes() == 5);
  CHECK(ids_of(*made(root + "limit: 2")) == std::vector<std::int64_t>{0, 1});
  CHECK(ids_of(*made(root + "indices: [2, 0]")) == std::vector<std::int64_t>{2, 0});
  CHECK(made(root + "per_class: 1")->size() == 3);
  CHECK(made(root + "fraction: 0.5")->size() == 3);
  const auto scaled = made(root + "normalize: {mean: 0.5, std: [0.25]}");
  CHECK(scaled->normalization().mean == std::vector<float>{0.5f});
  CHECK(scaled->normalization().stddev == std::vector<float>{0.25f});
  const std::string files = "kind: idx\nimages: " + folder.file("train-images-idx3-ubyte") +
                            "\nlabels: " + folder.file("train-labels-idx1-ubyte") + "\n";
  CHECK(bytes_of(*made(files), 2) == std::vector<int>{20, 21, 22, 23});

  CHECK(contains(error_of([&] { made(root + "per_class: 1\nlimit: 2"); }), "at most one of per_class"));
  CHECK(contains(error_of([&] { made(root + "per_class: 2"); }), "class \"0\" has 1 images"));
  CHECK(contains(error_of([&] { made(root + "limit: 4"); }), "limit"));
  CHECK(contains(error_of([&] { made(root + "normalize: {mean: [0, 0]}"); }), "one number a channel"));
  CHECK(contains(error_of([&] { made(root + "normalize: {std: 0}"); }), "positive stddevs"));
  CHECK(contains(error_of([&] { made(root + "split: trian"); }), "train"));
  CHECK(contains(error_of([&] { made(root + "size: 4"); }), "size"));
  CHECK(contains(error_of([&] { made("kind: fashion_mnist"); }), "fashion-mnist"));
  CHECK_THROWS_AS(made("kind: fashion-mnist\nroot: " + folder.path() + "/none"), IoError);
}

TEST_CASE("dataset: an image folder in a job takes size, channels and a folder for the split") {
  const TemporaryFolder folder;
  std::filesystem::create_directories(folder.file("val/cat"));
  write_png(folder.file("val/cat/a.png"), {3, 3, 1, Bytes(9, 77)});
  const std::string job = "kind: image_folder\nroot: " + folder.path() + "\n";
  const auto set = made(job + "split: val\nsize: 2\nchannels: 1");
  CHECK(set->image_shape() == Shape{1, 2, 2});
  CHECK(bytes_of(*set, 0) == std::vector<int>(4, 77));
  CHECK(made(job + "split: val\nsize: 2\nnormalize: {mean: .5, std: .5}")->normalization().mean ==
        std::vector<float>{.5f, .5f, .5f});
  CHECK(contains(error_of([&] { made(job + "split: val\nsize: 2\nchannels: 2"); }), "1 or 3 channels"));
  CHECK(contains(error_of([&] { made(job + "split: val"); }), "size"));
}
