// tests/io/png_test.cpp -- PNG: hand-made files of every pixel format, round trips, refusals, damage.
#include <doctest/doctest.h>

#include <algorithm>

#include "io/image.h"
#include "tensor/error.h"
#include "tests/io/image_samples.h"

using namespace retort;
using retort::test::Bytes;
using retort::test::png_file;
using retort::test::PngParts;

namespace {

const auto decode = [](const Bytes& bytes, const std::string& name) { return decode_png(bytes, name); };

Image decoded(const PngParts& parts, int channels = 0) { return decode_png(png_file(parts), "hand-made", channels); }

/// Recomputes every chunk's checksum, so that damage gets past it.
Bytes resealed(Bytes png) {
  for (std::size_t at = 8; at + 12 <= png.size();) {
    const std::size_t length =
        std::size_t{png[at]} << 24 | std::size_t{png[at + 1]} << 16 | std::size_t{png[at + 2]} << 8 | png[at + 3];
    if (length > png.size() - at - 12) break;
    Bytes sum;
    test::append_u32(sum, static_cast<std::uint32_t>(crc32(0, &png[at + 4], static_cast<uInt>(length + 4))));
    std::copy(sum.begin(), sum.end(), png.begin() + static_cast<std::ptrdiff_t>(at + 8 + length));
    at += length + 12;
  }
  return png;
}

/// A well-formed file whose header fields, palette and scanlines have nothing to do with each other.
Bytes nonsense(std::mt19937_64& rng) {
  const auto some = [&rng](std::size_t most) {
    Bytes b(rng() % (most + 1));
    for (std::uint8_t& v : b) v = static_cast<std::uint8_t>(rng() % 100 == 0 ? rng() : rng() % 5);
    return b;
  };
  return png_file({.width = static_cast<std::uint32_t>(rng() % 20),
                   .height = static_cast<std::uint32_t>(rng() % 20),
                   .depth = static_cast<std::uint8_t>(1u << rng() % 5),
                   .color_type = static_cast<std::uint8_t>(rng() % 7),
                   .interlace = static_cast<std::uint8_t>(rng() % 2),
                   .palette = some(20),
                   .transparency = some(6),
                   .scanlines = some(4000)});
}

}  // namespace

TEST_CASE("io/png: gray files of every depth") {
  const Image bits = decoded({.width = 3, .height = 2, .depth = 1, .scanlines = {0, 0b10100000, 0, 0b01000000}});
  CHECK(bits.channels == 1);
  CHECK(bits.pixels == Bytes{255, 0, 255, 0, 255, 0});
  CHECK(decoded({.width = 4, .depth = 2, .scanlines = {0, 0b00011011}}).pixels == Bytes{0, 85, 170, 255});
  CHECK(decoded({.width = 2, .depth = 4, .scanlines = {0, 0x3f}}).pixels == Bytes{51, 255});
  CHECK(decoded({.width = 2, .scanlines = {0, 7, 200}}).pixels == Bytes{7, 200});
  // Filter 1 stores differences to the left neighbour.
  CHECK(decoded({.width = 3, .scanlines = {1, 7, 1, 1}}).pixels == Bytes{7, 8, 9});
}

TEST_CASE("io/png: 16-bit samples become round(v / 257)") {
  PngParts parts{.width = 256, .height = 256, .depth = 16};
  Bytes expected;
  for (unsigned v = 0; v < 65536; ++v) {
    if (v % 256 == 0) parts.scanlines.push_back(0);
    parts.scanlines.push_back(static_cast<std::uint8_t>(v >> 8));
    parts.scanlines.push_back(static_cast<std::uint8_t>(v));
    expected.push_back(static_cast<std::uint8_t>((2 * v + 257) / 514));
  }
  CHECK(decoded(parts).pixels == expected);
}

TEST_CASE("io/png: colour, palettes and transparency") {
  CHECK(decoded({.color_type = 2, .scanlines = {0, 1, 2, 3}}).pixels == Bytes{1, 2, 3});
  const PngParts palette{.width = 3,
                         .depth = 2,
                         .color_type = 3,
                         .palette = {10, 20, 30, 40, 50, 60, 70, 80, 90},
                         .transparency = {0, 128},
                         .scanlines = {0, 0b10010000}};
  CHECK(decoded(palette).channels == 3);
  CHECK(decoded(palette).pixels == Bytes{70, 80, 90, 40, 50, 60, 10, 20, 30});
  CHECK(decoded({.width = 2, .color_type = 4, .scanlines = {0, 9, 0, 8, 255}}).pixels == Bytes{9, 8});
  CHECK(decoded({.color_type = 6, .scanlines = {0, 1, 2, 3, 0}}).pixels == Bytes{1, 2, 3});
  CHECK(decoded({.width = 2, .transparency = {0, 7}, .scanlines = {0, 7, 200}}).pixels == Bytes{7, 200});
}

TEST_CASE("io/png: the asked number of channels") {
  const PngParts gray{.width = 2, .scanlines = {0, 7, 200}};
  CHECK(decoded(gray, 1).pixels == Bytes{7, 200});
  CHECK(decoded(gray, 3).pixels == Bytes{7, 7, 7, 200, 200, 200});
  // BT.601: 0.299 R, 0.587 G, 0.114 B.
  const PngParts primaries{.width = 4, .color_type = 2, .scanlines = {0, 255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9}};
  CHECK(decoded(primaries, 1).pixels == Bytes{76, 150, 29, 9});
  CHECK_THROWS_AS(decoded(gray, 2), ValueError);
}

TEST_CASE("io/png: interlaced files") {
  // A 3 x 3 image has the Adam7 passes 1 (one pixel), 5 (one row, 2 pixels wide), 6 (two rows of 1), 7 (row 1).
  const PngParts parts{.width = 3,
                       .height = 3,
                       .interlace = 1,
                       .scanlines = {0, 1,          // (0,0)
                                     0, 7, 9,       // row 2, columns 0 and 2
                                     0, 2, 0, 8,    // column 1 of rows 0 and 2
                                     0, 4, 5, 6}};  // row 1
  PngParts with_column_two = parts;
  // Pass 4 holds column 2 of row 0.
  with_column_two.scanlines.insert(with_column_two.scanlines.begin() + 2, {0, 3});
  CHECK(decoded(with_column_two).pixels == Bytes{1, 2, 3, 4, 5, 6, 7, 8, 9});
  CHECK(test::refusal(png_file(parts), decode) != "");
}

TEST_CASE("io/png: what is encoded decodes to itself") {
  for (const int channels : {1, 3}) {
    const Image image = test::random_image(37, 23, channels, 5);
    const Image back = decode_png(encode_png(image), "back");
    CHECK(back.width == 37);
    CHECK(back.height == 23);
    CHECK(back.channels == channels);
    CHECK(back.pixels == image.pixels);
    CHECK(encode_png(image) == encode_png(back));
  }
  CHECK_THROWS_AS(encode_png({2, 2, 3, Bytes(11)}), ShapeError);
  CHECK_THROWS_AS(encode_png({2, 2, 2, Bytes(8)}), ShapeError);
  CHECK_THROWS_AS(encode_png({0, 2, 1, {}}), ShapeError);
}

TEST_CASE("io/png: truncated, foreign and lying files are refused by name") {
  const Bytes good = encode_png(test::random_image(20, 20, 3, 6));
  CHECK(test::refusal(good, decode).empty());
  for (std::size_t n = 0; n < good.size(); n += 7) {
    INFO("length " << n);
    CHECK(test::refusal(Bytes(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(n)), decode).find("some/file") !=
          std::string::npos);
  }
  // The file ends with IDAT's Adler-32 and CRC-32 and the 12 bytes of IEND.
  for (const std::size_t from_end : {20, 16}) {
    Bytes bad_checksum = good;
    bad_checksum[good.size() - from_end] ^= 1;
    CHECK(test::refusal(bad_checksum, decode) != "");
  }
  CHECK(test::refusal({'G', 'I', 'F', '8', '9', 'a', 0, 0, 0}, decode).find("Not a PNG") != std::string::npos);
  CHECK(test::refusal(png_file({.width = 2, .height = 2, .scanlines = {0, 1, 2}}), decode).find("image data") !=
        std::string::npos);
  CHECK(test::refusal(png_file({.width = 3, .depth = 8, .color_type = 3, .scanlines = {0, 1, 2, 3}}), decode) != "");
}

TEST_CASE("io/png: sizes no such file can have are refused before memory is taken") {
  CHECK(test::refusal(png_file({.width = 900000, .height = 900000, .scanlines = {0}}), decode).find("too large") !=
        std::string::npos);
  CHECK(test::refusal(png_file({.width = 8000, .height = 8000, .scanlines = {0}}), decode).find("cannot hold") !=
        std::string::npos);
  CHECK(test::refusal(png_file({.width = 0, .height = 5, .scanlines = {0}}), decode) != "");
}

TEST_CASE("io/png: seeded damage gives IoError or a consistent image") {
  PngParts interlaced{.width = 16, .height = 16, .interlace = 1, .scanlines = Bytes(16 * 16 + 30)};
  const std::vector<Bytes> files = {
      encode_png(test::random_image(13, 9, 3, 7)), encode_png(test::smooth_image(64, 64)), png_file(interlaced),
      png_file({.width = 3, .depth = 2, .color_type = 3, .palette = Bytes(9), .scanlines = {0, 0b10010000}})};
  const int n = test::rounds(600, 60000);
  CHECK(test::refusals_of_damaged(files, n, 8, decode) > n / 2);
  const int refused = test::refusals_of_damaged(
      files, n, 9, [](const Bytes& bad, const std::string& name) { return decode_png(resealed(bad), name); });
  CHECK(refused > n / 4);
  CHECK(refused < n);
}

TEST_CASE("io/png: well-formed nonsense gives IoError or a consistent image") {
  std::mt19937_64 rng(10);
  const int n = test::rounds(600, 60000);
  int refused = 0;
  for (int i = 0; i < n; ++i) {
    const Bytes file = nonsense(rng);
    try {
      if (!test::is_consistent(decode_png(file, "nonsense"))) FAIL("inconsistent image from file number " << i);
    } catch (const IoError&) {
      ++refused;
    }
  }
  CHECK(refused > n / 4);
  CHECK(refused < 9 * n / 10);
}
