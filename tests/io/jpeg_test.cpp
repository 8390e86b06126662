// tests/io/jpeg_test.cpp -- JPEG: flat fields (exact), colour spaces, progressive files, refusals, damage.
#include <doctest/doctest.h>

#include <algorithm>

#include "io/image.h"
#include "tensor/error.h"
#include "tests/io/image_samples.h"

using namespace retort;
using retort::test::Bytes;
using retort::test::jpeg_file;
using retort::test::JpegOptions;

namespace {

const auto decode = [](const Bytes& bytes, const std::string& name) { return decode_jpeg(bytes, name); };

Bytes repeated(const Bytes& pixel, int n) {
  Bytes b;
  for (int i = 0; i < n; ++i) b.insert(b.end(), pixel.begin(), pixel.end());
  return b;
}

int largest_difference(const Bytes& a, const Bytes& b) {
  REQUIRE(a.size() == b.size());
  int most = 0;
  for (std::size_t i = 0; i < a.size(); ++i) most = std::max(most, std::abs(a[i] - b[i]));
  return most;
}

Bytes smooth_jpeg(const JpegOptions& options = {}) {
  return jpeg_file(50, 40, JCS_RGB, test::smooth_image(50, 40).pixels, options);
}

}  // namespace

TEST_CASE("io/jpeg: flat gray fields are exact at quality 100") {
  // The DC coefficient of a flat block is 8 (v - 128), a whole number of the quantisation step 1.
  for (const int v : {0, 1, 77, 128, 200, 255}) {
    const Bytes flat(11 * 9, static_cast<std::uint8_t>(v));
    const Image image = decode_jpeg(jpeg_file(11, 9, JCS_GRAYSCALE, flat), "flat");
    CHECK(image.width == 11);
    CHECK(image.height == 9);
    CHECK(image.channels == 1);
    CHECK(image.pixels == flat);
  }
}

TEST_CASE("io/jpeg: colour files come back within the rounding of YCbCr") {
  const Bytes flat = repeated({200, 30, 90}, 16 * 16);
  CHECK(largest_difference(decode_jpeg(jpeg_file(16, 16, JCS_RGB, flat), "flat").pixels, flat) <= 1);
  const Image smooth = test::smooth_image(50, 40), back = decode_jpeg(smooth_jpeg(), "smooth");
  CHECK(back.channels == 3);
  CHECK(largest_difference(back.pixels, smooth.pixels) <= 6);
}

TEST_CASE("io/jpeg: progressive files and restart markers decode to the pixels of the baseline file") {
  const Image baseline = decode_jpeg(smooth_jpeg({.quality = 80}), "baseline");
  CHECK(decode_jpeg(smooth_jpeg({.quality = 80, .progressive = true}), "progressive").pixels == baseline.pixels);
  CHECK(decode_jpeg(smooth_jpeg({.quality = 80, .restart_rows = 1}), "restarts").pixels == baseline.pixels);
}

TEST_CASE("io/jpeg: the asked number of channels") {
  const Bytes gray = jpeg_file(8, 8, JCS_GRAYSCALE, Bytes(64, 77));
  CHECK(decode_jpeg(gray, "gray", 3).pixels == Bytes(192, 77));
  CHECK(decode_jpeg(gray, "gray", 1).channels == 1);
  const Image rgb = decode_jpeg(smooth_jpeg(), "smooth");
  CHECK(decode_jpeg(smooth_jpeg(), "smooth", 1).pixels == convert_channels(rgb, 1).pixels);
  CHECK_THROWS_AS(decode_jpeg(gray, "gray", 4), ValueError);
}

TEST_CASE("io/jpeg: CMYK becomes RGB, with and without Adobe's inversion") {
  // C = 55, M = 255, Y = 0, K = 51: R = 200 * 204 / 255 = 160, G = 0, B = 204.
  const Bytes direct = repeated({55, 255, 0, 51}, 64), inverted = repeated({200, 0, 255, 204}, 64);
  const Bytes expected = repeated({160, 0, 204}, 64);
  CHECK(decode_jpeg(jpeg_file(8, 8, JCS_CMYK, direct, {.adobe_marker = false}), "cmyk").pixels == expected);
  CHECK(decode_jpeg(jpeg_file(8, 8, JCS_CMYK, inverted, {.adobe_marker = true}), "cmyk").pixels == expected);
}

TEST_CASE("io/jpeg: truncated, foreign and unsupported files are refused by name") {
  for (const bool progressive : {false, true}) {
    const Bytes good = smooth_jpeg({.progressive = progressive});
    for (std::size_t n = 0; n < good.size(); n += 13) {
      INFO("length " << n);
      CHECK(test::refusal(Bytes(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(n)), decode) != "");
    }
    CHECK(test::refusal(Bytes(good.begin(), good.end() - 2), decode).find("truncated") != std::string::npos);
  }
  CHECK(test::refusal({'G', 'I', 'F', '8', '9', 'a'}, decode).find("Not a JPEG") != std::string::npos);
  CHECK(test::refusal(smooth_jpeg({.arithmetic = true}), decode).find("arithmetic coding") != std::string::npos);
}

TEST_CASE("io/jpeg: sizes no such file can have are refused before memory is taken") {
  Bytes file = jpeg_file(8, 8, JCS_GRAYSCALE, Bytes(64, 77));
  const Bytes marker = {0xff, 0xc0};
  const auto frame = std::search(file.begin(), file.end(), marker.begin(), marker.end());
  REQUIRE(frame != file.end());
  const auto set_size = [&](std::uint8_t high) { frame[5] = frame[7] = high; };
  set_size(0x1f);
  CHECK(test::refusal(file, decode).find("cannot hold") != std::string::npos);
  set_size(0xff);
  CHECK(test::refusal(file, decode) != "");
}

TEST_CASE("io/jpeg: a file that asks for endless scans is refused") {
  // The last refinement scan of a progressive file, repeated.
  const Bytes good = smooth_jpeg({.progressive = true});
  const Bytes marker = {0xff, 0xda};
  const auto last = std::find_end(good.begin(), good.end(), marker.begin(), marker.end());
  Bytes endless(good.begin(), last);
  for (int i = 0; i < 600; ++i) endless.insert(endless.end(), last, good.end() - 2);
  endless.insert(endless.end(), {0xff, 0xd9});
  CHECK(test::refusal(good, decode).empty());
  CHECK(test::refusal(endless, decode) != "");
}

TEST_CASE("io/jpeg: seeded damage gives IoError or a consistent image") {
  const std::vector<Bytes> files = {smooth_jpeg({.quality = 60}), smooth_jpeg({.quality = 60, .progressive = true}),
                                    smooth_jpeg({.quality = 30, .restart_rows = 1}),
                                    jpeg_file(8, 8, JCS_CMYK, repeated({1, 2, 3, 4}, 64))};
  const int n = test::rounds(600, 60000);
  CHECK(test::refusals_of_damaged(files, n, 9, decode) > n / 10);
}
