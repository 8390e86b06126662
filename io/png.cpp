// io/png.cpp -- decode_png and encode_png over libpng.
//
// libpng reports errors by longjmp. Every call that may fail runs inside `guarded`, whose frame and whose callee hold
// no object with a destructor, so the jump skips none; the message is kept in a plain buffer and thrown afterwards.
#include <png.h>

#include <csetjmp>
#include <cstdio>
#include <cstring>

#include "io/image.h"
#include "io/image_checks.h"
#include "tensor/error.h"

namespace retort {
namespace {

constexpr std::int64_t kDeflateRatio = 1032;

struct PngSource {
  const std::uint8_t* data;
  std::size_t size;
  std::size_t at;
  char message[160];
};

void on_error(png_structp png, png_const_charp message) {
  auto* source = static_cast<PngSource*>(png_get_error_ptr(png));
  std::snprintf(source->message, sizeof source->message, "%s", message);
  png_longjmp(png, 1);
}

void on_warning(png_structp, png_const_charp) {}

void on_read(png_structp png, png_bytep out, std::size_t n) {
  auto* source = static_cast<PngSource*>(png_get_io_ptr(png));
  if (n > source->size - source->at) png_error(png, "the file ends before the image");
  std::memcpy(out, source->data + source->at, n);
  source->at += n;
}

/// Runs `calls`; false when libpng reported an error on the way.
template <class Calls>
bool guarded(png_structp png, const Calls& calls) {
  if (setjmp(png_jmpbuf(png)) != 0) return false;
  calls();
  return true;
}

class PngDecoder {
 public:
  PngDecoder(std::span<const std::uint8_t> bytes, const std::string& name)
      : name_(name), source_{bytes.data(), bytes.size(), 0, {}} {
    png_ = png_create_read_struct(PNG_LIBPNG_VER_STRING, &source_, on_error, on_warning);
    if (png_ != nullptr) info_ = png_create_info_struct(png_);
    if (info_ == nullptr) {
      png_destroy_read_struct(&png_, nullptr, nullptr);
      throw IoError("decode_png: {}: libpng cannot start; got {}", name_, source_.message);
    }
  }
  ~PngDecoder() { png_destroy_read_struct(&png_, &info_, nullptr); }
  PngDecoder(const PngDecoder&) = delete;
  PngDecoder& operator=(const PngDecoder&) = delete;

  Image decode() {
    read_header();
    Image image;
    image.width = static_cast<int>(png_get_image_width(png_, info_));
    image.height = static_cast<int>(png_get_image_height(png_, info_));
    image.channels = png_get_channels(png_, info_);
    const std::size_t row = png_get_rowbytes(png_, info_);
    image.pixels.resize(row * static_cast<std::size_t>(image.height));
    read_rows(image.pixels.data(), row, image.height);
    return image;
  }

 private:
  void or_throw(bool ok) const {
    if (!ok) throw IoError("decode_png: {}: damaged or truncated; got {}", name_, source_.message);
  }

  void read_header() {
    or_throw(guarded(png_, [this] {
      png_set_read_fn(png_, &source_, on_read);
      // Text, profiles and other side information are skipped unread.
      png_set_keep_unknown_chunks(png_, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);
      png_read_info(png_, info_);
    }));
    const std::int64_t bits_per_pixel = png_get_channels(png_, info_) * png_get_bit_depth(png_, info_);
    check_image_size("decode_png", name_, png_get_image_width(png_, info_), png_get_image_height(png_, info_),
                     static_cast<std::int64_t>(source_.size) * kDeflateRatio * 8 / bits_per_pixel);
    or_throw(guarded(png_, [this] {
      png_set_palette_to_rgb(png_);
      if ((png_get_color_type(png_, info_) & PNG_COLOR_MASK_COLOR) == 0) png_set_expand_gray_1_2_4_to_8(png_);
      png_set_scale_16(png_);
      png_set_strip_alpha(png_);
      passes_ = png_set_interlace_handling(png_);
      png_read_update_info(png_, info_);
    }));
  }

  void read_rows(std::uint8_t* pixels, std::size_t row, int height) {
    or_throw(guarded(png_, [&] {
      for (int pass = 0; pass < passes_; ++pass)
        for (int y = 0; y < height; ++y) png_read_row(png_, pixels + static_cast<std::size_t>(y) * row, nullptr);
      png_read_end(png_, nullptr);
    }));
  }

  const std::string& name_;
  PngSource source_;
  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
  int passes_ = 1;
};

}  // namespace

Image decode_png(std::span<const std::uint8_t> bytes, const std::string& name, int channels) {
  check_channels_argument("decode_png", channels);
  Image image = PngDecoder(bytes, name).decode();
  return channels == 0 ? image : convert_channels(std::move(image), channels);
}

std::vector<std::uint8_t> encode_png(const Image& image) {
  const bool fits = image.width > 0 && image.height > 0 && (image.channels == 1 || image.channels == 3) &&
                    std::int64_t{image.width} * image.height <= kMaxImagePixels &&
                    image.pixels.size() == static_cast<std::size_t>(image.width) *
                                               static_cast<std::size_t>(image.height) *
                                               static_cast<std::size_t>(image.channels);
  if (!fits)
    throw ShapeError("encode_png: not an image; got {} x {} pixels, {} channels (1 or 3), {} samples", image.width,
                     image.height, image.channels, image.pixels.size());
  png_image header = {};
  header.version = PNG_IMAGE_VERSION;
  header.width = static_cast<png_uint_32>(image.width);
  header.height = static_cast<png_uint_32>(image.height);
  header.format = image.channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB;
  png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(header);
  std::vector<std::uint8_t> file(size);
  if (png_image_write_to_memory(&header, file.data(), &size, 0, image.pixels.data(), 0, nullptr) == 0)
    throw IoError("encode_png: libpng failed; got {}", header.message);
  file.resize(size);
  return file;
}

}  // namespace retort
