// io/jpeg.cpp -- decode_jpeg over libjpeg.
//
// libjpeg's error_exit must not return. Every call that may fail runs inside `guarded`, whose frame and whose callee
// hold no object with a destructor, so the jump skips none; the message is kept in a plain buffer and thrown
// afterwards.
// clang-format off
#include <csetjmp>
#include <cstdio>  // jpeglib.h uses FILE and size_t without declaring them
#include <jpeglib.h>
#include <jerror.h>
// clang-format on

#include "io/image.h"
#include "io/image_checks.h"
#include "tensor/error.h"

namespace retort {
namespace {

/// Huffman coding spends at least one bit on a component's 8 x 8 block, which covers up to 32 x 32 pixels.
constexpr std::int64_t kMaxPixelsPerByte = 32 * 32 * 8;
/// A progressive file may ask for any number of passes over the image; real ones have about ten.
constexpr int kMaxScans = 500;

struct ErrorState {
  jpeg_error_mgr manager;  // first, so that libjpeg's pointer to it is a pointer to the whole
  jmp_buf jump;
  char message[JMSG_LENGTH_MAX];
};

void on_error(j_common_ptr info) {
  auto* state = reinterpret_cast<ErrorState*>(info->err);
  info->err->format_message(info, state->message);
  longjmp(state->jump, 1);
}

void on_message(j_common_ptr, int) {}

void on_progress(j_common_ptr info) {
  auto* decoder = reinterpret_cast<j_decompress_ptr>(info);
  if (decoder->input_scan_number > kMaxScans) ERREXIT(info, JERR_BAD_PROGRESSION);
}

boolean on_end_of_data(j_decompress_ptr info) {
  ERREXIT(info, JERR_INPUT_EOF);
  return FALSE;
}

void on_skip(j_decompress_ptr info, long n) {
  if (n <= 0) return;
  if (static_cast<std::size_t>(n) > info->src->bytes_in_buffer) ERREXIT(info, JERR_INPUT_EOF);
  info->src->next_input_byte += n;
  info->src->bytes_in_buffer -= static_cast<std::size_t>(n);
}

/// Runs `calls`; false when libjpeg reported an error on the way.
template <class Calls>
bool guarded(ErrorState& errors, const Calls& calls) {
  if (setjmp(errors.jump) != 0) return false;
  calls();
  return true;
}

/// One pixel of Adobe-style CMYK to RGB. `inverted` values are already 255 - C and so on.
void cmyk_to_rgb(const std::uint8_t* cmyk, bool inverted, std::uint8_t* rgb) {
  const auto light = [inverted](std::uint8_t v) { return inverted ? unsigned{v} : 255u - v; };
  for (int c = 0; c < 3; ++c) rgb[c] = static_cast<std::uint8_t>((light(cmyk[c]) * light(cmyk[3]) + 127u) / 255u);
}

class JpegDecoder {
 public:
  JpegDecoder(std::span<const std::uint8_t> bytes, const std::string& name) : name_(name), bytes_(bytes) {
    info_.err = jpeg_std_error(&errors_.manager);
    errors_.manager.error_exit = on_error;
    errors_.manager.emit_message = on_message;
    or_throw(guarded(errors_, [this] { jpeg_create_decompress(&info_); }));
    source_.next_input_byte = bytes.data();
    source_.bytes_in_buffer = bytes.size();
    source_.init_source = [](j_decompress_ptr) {};
    source_.fill_input_buffer = on_end_of_data;
    source_.skip_input_data = on_skip;
    source_.resync_to_restart = jpeg_resync_to_restart;
    source_.term_source = [](j_decompress_ptr) {};
    info_.src = &source_;
    progress_.progress_monitor = on_progress;
    info_.progress = &progress_;
  }
  ~JpegDecoder() { jpeg_destroy_decompress(&info_); }
  JpegDecoder(const JpegDecoder&) = delete;
  JpegDecoder& operator=(const JpegDecoder&) = delete;

  Image decode() {
    start();
    Image image{static_cast<int>(info_.output_width), static_cast<int>(info_.output_height), 0, {}};
    const auto width = static_cast<std::size_t>(image.width), height = static_cast<std::size_t>(image.height);
    const bool is_cmyk = info_.out_color_space == JCS_CMYK;
    image.channels = info_.out_color_space == JCS_GRAYSCALE ? 1 : 3;
    const std::size_t row = width * static_cast<std::size_t>(image.channels);
    image.pixels.resize(row * height);
    std::vector<std::uint8_t> cmyk(is_cmyk ? 4 * width : 0);
    for (std::size_t y = 0; y < height; ++y) {
      std::uint8_t* out = image.pixels.data() + y * row;
      read_row(is_cmyk ? cmyk.data() : out);
      if (!is_cmyk) continue;
      for (std::size_t x = 0; x < width; ++x) cmyk_to_rgb(&cmyk[4 * x], info_.saw_Adobe_marker, out + 3 * x);
    }
    return image;
  }

 private:
  void or_throw(bool ok) const {
    if (!ok) throw IoError("decode_jpeg: {}: damaged or truncated; got {}", name_, errors_.message);
  }

  void start() {
    or_throw(guarded(errors_, [this] { jpeg_read_header(&info_, TRUE); }));
    if (info_.arith_code) throw IoError("decode_jpeg: {}: arithmetic coding is not supported; use Huffman", name_);
    check_image_size("decode_jpeg", name_, info_.image_width, info_.image_height,
                     static_cast<std::int64_t>(bytes_.size()) * kMaxPixelsPerByte);
    switch (info_.jpeg_color_space) {
      case JCS_GRAYSCALE:
        info_.out_color_space = JCS_GRAYSCALE;
        break;
      case JCS_RGB:
      case JCS_YCbCr:
        info_.out_color_space = JCS_RGB;
        break;
      case JCS_CMYK:
      case JCS_YCCK:
        info_.out_color_space = JCS_CMYK;
        break;
      default:
        throw IoError("decode_jpeg: {}: colour space is not supported; got {} components", name_, info_.num_components);
    }
    info_.dct_method = JDCT_ISLOW;
    or_throw(guarded(errors_, [this] { jpeg_start_decompress(&info_); }));
  }

  void read_row(std::uint8_t* out) {
    or_throw(guarded(errors_, [this, out] {
      JSAMPROW rows[1] = {out};
      jpeg_read_scanlines(&info_, rows, 1);
    }));
  }

  const std::string& name_;
  std::span<const std::uint8_t> bytes_;
  jpeg_decompress_struct info_ = {};
  jpeg_source_mgr source_ = {};
  jpeg_progress_mgr progress_ = {};
  ErrorState errors_ = {};
};

}  // namespace

Image decode_jpeg(std::span<const std::uint8_t> bytes, const std::string& name, int channels) {
  check_channels_argument("decode_jpeg", channels);
  Image image = JpegDecoder(bytes, name).decode();
  return channels == 0 ? image : convert_channels(std::move(image), channels);
}

}  // namespace retort
