// tests/io/image_test.cpp -- recognising formats by content, reading and writing image files.
#include "io/image.h"

#include <doctest/doctest.h>

#include <filesystem>

#include "tensor/error.h"
#include "tests/io/image_samples.h"

using namespace retort;
using retort::test::Bytes;
using retort::test::TemporaryFolder;

TEST_CASE("io/image: the content decides the format, not the name") {
  const TemporaryFolder folder;
  test::write_bytes(folder.file("a.png"), test::jpeg_file(8, 8, JCS_GRAYSCALE, Bytes(64, 77)));
  CHECK(read_image(folder.file("a.png")).pixels == Bytes(64, 77));
  const Image image = test::random_image(5, 4, 3, 1);
  test::write_bytes(folder.file("b.jpg"), encode_png(image));
  CHECK(read_image(folder.file("b.jpg")).pixels == image.pixels);
  CHECK(read_image(folder.file("b.jpg"), 1).pixels == convert_channels(image, 1).pixels);
}

TEST_CASE("io/image: other content, empty and missing files are refused by name") {
  const TemporaryFolder folder;
  test::write_bytes(folder.file("a.png"), {'h', 'e', 'l', 'l', 'o'});
  test::write_bytes(folder.file("empty.png"), {});
  for (const std::string name : {"a.png", "empty.png", "missing.png"}) {
    INFO(name);
    CHECK(test::refusal({}, [&](const Bytes&, const std::string&) {
            try {
              read_image(folder.file(name));
            } catch (const IoError& e) {
              throw IoError("some/file {}", std::string(e.what()).find(name) != std::string::npos ? "named" : "");
            }
          }).find("named") != std::string::npos);
  }
}

TEST_CASE("io/image: write_png leaves the whole file or nothing") {
  const TemporaryFolder folder;
  const Image image = test::random_image(6, 7, 3, 2);
  write_png(folder.file("grid.png"), image);
  CHECK(read_image(folder.file("grid.png")).pixels == image.pixels);
  write_png(folder.file("grid.png"), test::random_image(2, 2, 1, 3));
  CHECK(read_image(folder.file("grid.png")).width == 2);
  CHECK_THROWS_AS(write_png(folder.file("missing/grid.png"), image), IoError);
  std::filesystem::create_directory(folder.file("taken"));
  CHECK_THROWS_AS(write_png(folder.file("taken"), image), IoError);
  CHECK(!std::filesystem::exists(folder.file("taken.tmp")));
}

TEST_CASE("io/image: a full disk is an IoError" * doctest::skip(!std::filesystem::exists("/dev/full"))) {
  const TemporaryFolder folder;
  std::filesystem::create_symlink("/dev/full", folder.file("grid.png.tmp"));
  CHECK_THROWS_AS(write_png(folder.file("grid.png"), test::random_image(6, 7, 3, 2)), IoError);
  CHECK(!std::filesystem::exists(folder.file("grid.png")));
}
