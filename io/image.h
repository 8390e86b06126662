// io/image.h -- 8-bit images in memory: decoding PNG and JPEG, encoding PNG.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace retort {

/// Rows from the top, `channels` interleaved samples a pixel: pixels[(y * width + x) * channels + c]. One channel is
/// gray, three are red, green, blue. Samples are as stored (sRGB-coded in practice): no colour management is applied.
struct Image {
  int width = 0;
  int height = 0;
  int channels = 0;
  std::vector<std::uint8_t> pixels;
};

/// Decoders refuse images of more pixels than this (2^26, 8192 x 8192), and sizes that a file of so few bytes cannot
/// hold, before memory is taken for them.
inline constexpr std::int64_t kMaxImagePixels = std::int64_t{1} << 26;
/// read_image refuses larger files (256 MiB).
inline constexpr std::uint64_t kMaxImageFileBytes = std::uint64_t{1} << 28;

/// Decodes a PNG file held in memory. `channels` is 1, 3, or 0 for what the file has (1 for gray, 3 for colour and
/// palettes). Samples below 8 bits are widened, 16-bit samples become round(v / 257), transparency is dropped (colours
/// stay as stored), gamma and profiles are ignored, interlacing is undone. Throws IoError naming `name` for any damage
/// or truncation; what libpng only warns about is accepted.
Image decode_png(std::span<const std::uint8_t> bytes, const std::string& name, int channels = 0);

/// Decodes a JPEG file (baseline or progressive Huffman, 8 bits) held in memory, with libjpeg's accurate integer DCT.
/// CMYK and YCCK become R = (255 - C)(255 - K) / 255 and so on, Adobe's inverted values understood; EXIF orientation
/// is not applied. Throws IoError naming `name`: not a JPEG, ends before the end-of-image marker, more than 500 scans.
/// Damage inside the entropy-coded data that libjpeg resynchronises after (its warnings) is accepted, as PIL does.
Image decode_jpeg(std::span<const std::uint8_t> bytes, const std::string& name, int channels = 0);

/// Decodes PNG or JPEG, recognised by the first bytes, never by the name. Throws IoError naming `name`.
Image decode_image(std::span<const std::uint8_t> bytes, const std::string& name, int channels = 0);
/// Reads and decodes a PNG or JPEG file.
Image read_image(const std::string& path, int channels = 0);

/// Gray to RGB by repetition; RGB to gray by ITU-R BT.601 luma in integers, (19595 R + 38470 G + 7471 B + 2^15) >> 16,
/// which is PIL's "L". `channels` is 1 or 3.
Image convert_channels(Image image, int channels);

/// The PNG file of a gray or RGB image, 8 bits, lossless; the same bytes for the same pixels. Throws ShapeError when
/// the size, the channels and the number of samples do not fit together.
std::vector<std::uint8_t> encode_png(const Image& image);
/// Writes encode_png(image) to `path`, atomically: a reader never sees half a file. Throws IoError.
void write_png(const std::string& path, const Image& image);

}  // namespace retort
