// tests/io/resize_test.cpp -- resizing against closed forms and against the definition, cropping.
#include "io/resize.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "tensor/error.h"
#include "tests/io/image_samples.h"

using namespace retort;
using retort::test::Bytes;

namespace {

constexpr ResizeFilter kFilters[] = {ResizeFilter::bilinear, ResizeFilter::area};

std::uint8_t at(const Image& image, int x, int y, int c = 0) {
  return image.pixels[static_cast<std::size_t>((y * image.width + x) * image.channels + c)];
}

Image gray(int width, int height, const std::function<int(int, int)>& value) {
  Image image{width, height, 1, {}};
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x) image.pixels.push_back(static_cast<std::uint8_t>(value(x, y)));
  return image;
}

/// The weight of source pixel i for target pixel x, from the definition; not normalised.
double weight(ResizeFilter filter, int i, int x, double s) {
  if (filter == ResizeFilter::area)
    return std::max(0.0, std::min<double>(i + 1, (x + 1) * s) - std::max<double>(i, x * s));
  return std::max(0.0, 1 - std::abs(i + 0.5 - (x + 0.5) * s) / std::max(s, 1.0));
}

double by_definition(const Image& image, int width, int height, ResizeFilter filter, int x, int y, int c) {
  double sum = 0, total = 0;
  for (int j = 0; j < image.height; ++j)
    for (int i = 0; i < image.width; ++i) {
      const double w = weight(filter, i, x, static_cast<double>(image.width) / width) *
                       weight(filter, j, y, static_cast<double>(image.height) / height);
      total += w;
      sum += w * at(image, i, j, c);
    }
  return sum / total;
}

}  // namespace

TEST_CASE("io/resize: every pixel follows the definition, shrinking and enlarging") {
  const Image image = test::random_image(23, 17, 3, 1);
  for (const ResizeFilter filter : kFilters)
    for (const auto& [width, height] : {std::pair{23, 17}, {7, 5}, {8, 31}, {46, 34}, {1, 1}, {50, 3}, {22, 18}}) {
      const Image out = resize(image, width, height, filter);
      REQUIRE(test::is_consistent(out));
      double most = 0;
      for (int y = 0; y < height; ++y)
        for (int x = 0; x < width; ++x)
          for (int c = 0; c < 3; ++c)
            most = std::max(most, std::abs(at(out, x, y, c) - by_definition(image, width, height, filter, x, y, c)));
      INFO("filter " << static_cast<int>(filter) << ", size " << out.width << " x " << out.height);
      CHECK(most <= 0.5 + 1e-4);
    }
}

TEST_CASE("io/resize: a constant stays constant") {
  for (const ResizeFilter filter : kFilters)
    for (const int v : {0, 1, 254, 255})
      for (const auto& [width, height] : {std::pair{1, 1}, {3, 200}, {199, 7}, {640, 480}}) {
        const Image out = resize(gray(101, 67, [v](int, int) { return v; }), width, height, filter);
        CHECK(std::all_of(out.pixels.begin(), out.pixels.end(), [v](int p) { return p == v; }));
      }
}

TEST_CASE("io/resize: a linear ramp is reproduced away from the border") {
  // Enlarging by 3: target x has its centre at (x + 1/2) / 3, and the ramp 6 i is 6 ((x + 1/2) / 3 - 1/2) = 2 x - 2.
  const Image up = resize(gray(30, 2, [](int i, int) { return 6 * i; }), 90, 2);
  for (int x = 1; x < 89; ++x) CHECK(at(up, x, 1) == 2 * x - 2);
  // Shrinking by 2: the centre 2 x + 1 lies between pixels, and the ramp 4 i + 2 is 8 x + 4.
  const Image down = resize(gray(2, 60, [](int, int j) { return 4 * j + 2; }), 2, 30);
  for (int y = 1; y < 29; ++y) CHECK(at(down, 1, y) == 8 * y + 4);
  const Image mean = resize(gray(60, 1, [](int i, int) { return 4 * i + 2; }), 30, 1, ResizeFilter::area);
  for (int x = 0; x < 30; ++x) CHECK(at(mean, x, 0) == 8 * x + 4);
}

TEST_CASE("io/resize: fine detail is averaged, not aliased") {
  const Image stripes = gray(64, 64, [](int x, int) { return x % 2 == 0 ? 0 : 200; });
  for (const ResizeFilter filter : kFilters) {
    const Image out = resize(stripes, 8, 8, filter);
    for (int y = 0; y < 8; ++y)
      for (int x = 1; x < 7; ++x) CHECK(at(out, x, y) == 100);
  }
}

TEST_CASE("io/resize: mirrored images give mirrored results") {
  const Image image = test::random_image(31, 1, 1, 4);
  Image mirrored = image;
  std::reverse(mirrored.pixels.begin(), mirrored.pixels.end());
  for (const int width : {5, 12, 70}) {
    Image a = resize(image, width, 1);
    const Image b = resize(mirrored, width, 1);
    std::reverse(a.pixels.begin(), a.pixels.end());
    int most = 0;
    for (std::size_t i = 0; i < a.pixels.size(); ++i) most = std::max(most, std::abs(a.pixels[i] - b.pixels[i]));
    CHECK(most <= 1);  // sums in the other order may round a half the other way
  }
}

TEST_CASE("io/resize: the shorter side decides, the longer is rounded down") {
  const Image wide = test::random_image(50, 37, 3, 5);
  const Image out = resize_shorter_side(wide, 16);
  CHECK(out.height == 16);
  CHECK(out.width == 21);  // 16 * 50 / 37 = 21.6
  CHECK(resize_shorter_side(test::random_image(37, 50, 3, 5), 16).height == 21);
  CHECK(resize_shorter_side(wide, 37).pixels == wide.pixels);
  CHECK_THROWS_AS(resize_shorter_side(wide, 0), ShapeError);
  CHECK_THROWS_AS(resize_shorter_side({1 << 20, 1, 1, Bytes(1 << 20)}, 256), ShapeError);
}

TEST_CASE("io/resize: crops take the pixels they name") {
  const Image image = gray(10, 8, [](int x, int y) { return 10 * y + x; });
  CHECK(crop(image, 2, 3, 2, 2).pixels == Bytes{32, 33, 42, 43});
  CHECK(center_crop(image, 4, 2).pixels == Bytes{33, 34, 35, 36, 43, 44, 45, 46});
  // A remainder of 7 is split at 3.5, rounded to the even 4; one of 5 at 2.5, rounded to 2.
  CHECK(center_crop(image, 3, 1).pixels == Bytes{44, 45, 46});
  CHECK(center_crop(image, 5, 3).pixels.front() == 22);
  CHECK(center_crop(image, 10, 8).pixels == image.pixels);
  CHECK_THROWS_AS(center_crop(image, 11, 8), ShapeError);
  CHECK_THROWS_AS(crop(image, 9, 0, 2, 1), ShapeError);
  CHECK_THROWS_AS(crop(image, -1, 0, 2, 1), ShapeError);
  CHECK_THROWS_AS(crop({10, 8, 1, Bytes(79)}, 0, 0, 1, 1), ShapeError);
}

TEST_CASE("io/resize: sizes out of range are refused") {
  const Image image = test::random_image(4, 4, 1, 6);
  CHECK_THROWS_AS(resize(image, 0, 4), ShapeError);
  CHECK_THROWS_AS(resize(image, 1 << 16, 1 << 16), ShapeError);
  CHECK_THROWS_AS(resize({4, 4, 3, Bytes(16)}, 2, 2), ShapeError);
}
