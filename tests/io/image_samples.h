// tests/io/image_samples.h -- PNG files put together by hand and JPEG files of every kind, for the image tests.
#pragma once
#include <doctest/doctest.h>

// clang-format off
#include <cstdio>  // jpeglib.h uses FILE and size_t without declaring them
#include <jpeglib.h>
// clang-format on
#include <zlib.h>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "io/image.h"
#include "tensor/error.h"
#include "tests/io/test_files.h"

namespace retort::test {

inline void append_u32(Bytes& b, std::uint32_t v) {
  for (const int shift : {24, 16, 8, 0}) b.push_back(static_cast<std::uint8_t>(v >> shift));
}

inline void append_chunk(Bytes& png, const std::string& type, const Bytes& data) {
  append_u32(png, static_cast<std::uint32_t>(data.size()));
  Bytes body(type.begin(), type.end());
  body.insert(body.end(), data.begin(), data.end());
  png.insert(png.end(), body.begin(), body.end());
  append_u32(png, static_cast<std::uint32_t>(crc32(0, body.data(), static_cast<uInt>(body.size()))));
}

/// The fields of a PNG header and its packed scanlines, each with its filter byte.
struct PngParts {
  std::uint32_t width = 1, height = 1;
  std::uint8_t depth = 8, color_type = 0, interlace = 0;
  Bytes palette = {}, transparency = {}, scanlines = {};
};

inline Bytes png_file(const PngParts& parts) {
  Bytes png = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
  Bytes header;
  append_u32(header, parts.width);
  append_u32(header, parts.height);
  header.insert(header.end(), {parts.depth, parts.color_type, 0, 0, parts.interlace});
  append_chunk(png, "IHDR", header);
  if (!parts.palette.empty()) append_chunk(png, "PLTE", parts.palette);
  if (!parts.transparency.empty()) append_chunk(png, "tRNS", parts.transparency);
  uLongf size = compressBound(static_cast<uLong>(parts.scanlines.size()));
  Bytes data(size);
  REQUIRE(compress(data.data(), &size, parts.scanlines.data(), static_cast<uLong>(parts.scanlines.size())) == Z_OK);
  data.resize(size);
  append_chunk(png, "IDAT", data);
  append_chunk(png, "IEND", {});
  return png;
}

struct JpegOptions {
  int quality = 100;
  bool progressive = false, arithmetic = false, adobe_marker = true;
  int restart_rows = 0;
};

/// A JPEG file of interleaved samples in colour space `space` (JCS_GRAYSCALE, JCS_RGB stored as YCbCr, JCS_CMYK).
inline Bytes jpeg_file(int width, int height, J_COLOR_SPACE space, Bytes samples, const JpegOptions& options = {}) {
  jpeg_compress_struct info = {};
  jpeg_error_mgr errors;
  info.err = jpeg_std_error(&errors);
  jpeg_create_compress(&info);
  unsigned char* buffer = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&info, &buffer, &size);
  info.image_width = static_cast<JDIMENSION>(width);
  info.image_height = static_cast<JDIMENSION>(height);
  info.input_components = space == JCS_GRAYSCALE ? 1 : space == JCS_RGB ? 3 : 4;
  info.in_color_space = space;
  jpeg_set_defaults(&info);
  if (space == JCS_CMYK) info.write_Adobe_marker = options.adobe_marker;
  jpeg_set_quality(&info, options.quality, TRUE);
  if (options.progressive) jpeg_simple_progression(&info);
  info.arith_code = options.arithmetic;
  info.restart_in_rows = options.restart_rows;
  jpeg_start_compress(&info, TRUE);
  while (info.next_scanline < info.image_height) {
    JSAMPROW row = &samples[info.next_scanline * info.image_width * static_cast<unsigned>(info.input_components)];
    jpeg_write_scanlines(&info, &row, 1);
  }
  jpeg_finish_compress(&info);
  jpeg_destroy_compress(&info);
  const Bytes file(buffer, buffer + size);
  std::free(buffer);
  return file;
}

inline Image random_image(int width, int height, int channels, std::uint64_t seed) {
  std::mt19937_64 rng(seed);
  Image image{width, height, channels, Bytes(static_cast<std::size_t>(width * height * channels))};
  for (std::uint8_t& v : image.pixels) v = static_cast<std::uint8_t>(rng());
  return image;
}

/// A smooth colour image, of the kind JPEG is meant for.
inline Image smooth_image(int width, int height) {
  Image image{width, height, 3, {}};
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x)
      for (const int v : {255 * x / width, 255 * y / height, 128 + 64 * (x - y) / (width + height)})
        image.pixels.push_back(static_cast<std::uint8_t>(v));
  return image;
}

/// The message of the IoError that decoding throws; empty when it decodes. The message must name the file.
template <class Decode>
std::string refusal(const Bytes& bytes, const Decode& decode) {
  try {
    decode(bytes, "some/file");
  } catch (const IoError& e) {
    CHECK(std::string(e.what()).find("some/file") != std::string::npos);
    return e.what();
  }
  return {};
}

inline bool is_consistent(const Image& image) {
  return image.width > 0 && image.height > 0 && (image.channels == 1 || image.channels == 3) &&
         image.pixels.size() == static_cast<std::size_t>(image.width) * static_cast<std::size_t>(image.height) *
                                    static_cast<std::size_t>(image.channels);
}

/// Decodes `n` damaged copies of each file: every result is an IoError or a consistent image. Returns the refusals.
template <class Decode>
int refusals_of_damaged(const std::vector<Bytes>& files, int n, std::uint64_t seed, const Decode& decode) {
  std::mt19937_64 rng(seed);
  int refused = 0;
  for (int i = 0; i < n; ++i) {
    const Bytes bad = damaged(files[static_cast<std::size_t>(i) % files.size()], rng);
    try {
      if (!is_consistent(decode(bad, "damaged"))) FAIL("inconsistent image from damage number " << i);
    } catch (const IoError&) {
      ++refused;
    }
  }
  return refused;
}

}  // namespace retort::test
