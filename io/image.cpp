// io/image.cpp -- choosing a decoder by content, channel conversion, writing files.
#include "io/image.h"

#include <algorithm>

#include "io/byte_reader.h"
#include "io/file.h"
#include "io/image_checks.h"
#include "tensor/error.h"

namespace retort {
namespace {

constexpr std::uint8_t kPngSignature[] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
constexpr std::uint8_t kJpegSignature[] = {0xff, 0xd8, 0xff};

bool starts_with(std::span<const std::uint8_t> bytes, std::span<const std::uint8_t> signature) {
  return bytes.size() >= signature.size() && std::equal(signature.begin(), signature.end(), bytes.begin());
}

}  // namespace

void check_channels_argument(std::string_view decoder, int channels) {
  if (channels != 0 && channels != 1 && channels != 3)
    throw ValueError("{}: channels must be 0 (as in the file), 1 or 3; got {}", decoder, channels);
}

void check_image_size(std::string_view decoder, const std::string& name, std::int64_t width, std::int64_t height,
                      std::int64_t max_pixels) {
  if (width <= 0 || height <= 0) throw IoError("{}: {}: empty image; got {} x {}", decoder, name, width, height);
  if (width > kMaxImagePixels / height)
    throw IoError("{}: {}: too large; got {} x {}, the limit is {} pixels", decoder, name, width, height,
                  kMaxImagePixels);
  if (width * height > max_pixels)
    throw IoError("{}: {}: truncated; got {} x {} pixels, the file's bytes cannot hold more than {}", decoder, name,
                  width, height, max_pixels);
}

Image decode_image(std::span<const std::uint8_t> bytes, const std::string& name, int channels) {
  if (starts_with(bytes, kPngSignature)) return decode_png(bytes, name, channels);
  if (starts_with(bytes, kJpegSignature)) return decode_jpeg(bytes, name, channels);
  throw IoError("decode_image: {}: neither PNG nor JPEG by its first bytes; got {} bytes", name, bytes.size());
}

Image read_image(const std::string& path, int channels) {
  return decode_image(read_bytes(path, kMaxImageFileBytes), path, channels);
}

Image convert_channels(Image image, int channels) {
  if (channels != 1 && channels != 3) throw ValueError("convert_channels: channels must be 1 or 3; got {}", channels);
  if (image.channels == channels) return image;
  const std::size_t n = static_cast<std::size_t>(image.width) * static_cast<std::size_t>(image.height);
  std::vector<std::uint8_t> pixels(n * static_cast<std::size_t>(channels));
  for (std::size_t i = 0; i < n; ++i) {
    if (channels == 3) {
      std::fill_n(pixels.begin() + static_cast<std::ptrdiff_t>(3 * i), 3, image.pixels[i]);
    } else {
      const std::uint8_t* rgb = image.pixels.data() + 3 * i;
      pixels[i] = static_cast<std::uint8_t>((19595u * rgb[0] + 38470u * rgb[1] + 7471u * rgb[2] + 32768u) >> 16);
    }
  }
  return {image.width, image.height, channels, std::move(pixels)};
}

void write_png(const std::string& path, const Image& image) {
  const std::vector<std::uint8_t> file = encode_png(image);
  write_file_atomic(path, std::as_bytes(std::span(file)));
}

}  // namespace retort
