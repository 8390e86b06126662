// io/byte_reader.cpp -- ByteReader: stdio underneath, zlib's inflate for gzip files.
#include "io/byte_reader.h"

#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <limits>

#include "io/file.h"
#include "tensor/error.h"

namespace retort {
namespace {

constexpr std::size_t kInputBytes = 1 << 16;
constexpr std::uint64_t kDeflateRatio = 1032;

/// Size of a regular file. Asked before opening: opening a FIFO would block.
std::uint64_t regular_file_size(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code failed;
  const fs::file_status status = fs::status(path, failed);
  if (failed) throw_file_error(path, "examine", failed.value());
  if (status.type() != fs::file_type::regular) throw IoError("{}: cannot read; not a regular file", path);
  const std::uintmax_t size = fs::file_size(path, failed);
  if (failed) throw_file_error(path, "examine", failed.value());
  return size;
}

std::FILE* open_for_reading(const std::string& path) {
  std::FILE* file = std::fopen(path.c_str(), "rbe");
  if (file == nullptr) throw_file_error(path, "open", errno);
  return file;
}

std::size_t read_some(std::FILE* file, std::span<std::uint8_t> out, const std::string& path) {
  if (out.empty()) return 0;
  const std::size_t n = std::fread(out.data(), 1, out.size(), file);
  if (n < out.size() && std::ferror(file) != 0) throw_file_error(path, "read", errno);
  return n;
}

}  // namespace

void ByteReader::InflateEnd::operator()(z_stream_s* z) const {
  inflateEnd(z);
  delete z;
}

ByteReader::ByteReader(const std::string& path)
    : path_(path), file_size_(regular_file_size(path)), file_(open_for_reading(path)) {
  std::uint8_t signature[2] = {};
  const std::size_t n = read_some(file_.get(), signature, path);
  std::rewind(file_.get());
  if (n == 2 && signature[0] == 0x1f && signature[1] == 0x8b) {
    input_.resize(kInputBytes);
    auto stream = std::make_unique<z_stream>();
    // 15 window bits, +16: a gzip wrapper and nothing else.
    if (inflateInit2(stream.get(), 15 + 16) != Z_OK) throw IoError("{}: cannot inflate; zlib does not start", path);
    inflate_.reset(stream.release());
    member_open_ = true;
  }
}

ByteReader::~ByteReader() = default;

std::uint64_t ByteReader::max_size() const {
  if (!is_gzip()) return file_size_;
  constexpr std::uint64_t most = std::numeric_limits<std::uint64_t>::max();
  return file_size_ > most / kDeflateRatio ? most : file_size_ * kDeflateRatio;
}

std::size_t ByteReader::read(std::span<std::uint8_t> out) {
  const std::size_t n = is_gzip() ? read_gzip(out) : read_plain(out);
  offset_ += n;
  return n;
}

std::size_t ByteReader::read_plain(std::span<std::uint8_t> out) { return read_some(file_.get(), out, path_); }

/// Reads more compressed bytes when none are left; false at the end of the file.
bool ByteReader::refill() {
  if (inflate_->avail_in > 0) return true;
  inflate_->next_in = input_.data();
  inflate_->avail_in = static_cast<uInt>(read_some(file_.get(), input_, path_));
  return inflate_->avail_in > 0;
}

/// Between members: whatever follows must be another member, which inflate checks by its signature.
void ByteReader::begin_member() {
  inflateReset(inflate_.get());
  member_open_ = true;
}

std::size_t ByteReader::read_gzip(std::span<std::uint8_t> out) {
  std::size_t done = 0;
  while (done < out.size()) {
    if (!refill()) {
      if (member_open_)
        throw IoError("{}: gzip stream is truncated; got its end at inflated offset {}", path_, offset_ + done);
      break;
    }
    if (!member_open_) begin_member();
    const uInt room = static_cast<uInt>(std::min<std::size_t>(out.size() - done, std::numeric_limits<uInt>::max()));
    inflate_->next_out = out.data() + done;
    inflate_->avail_out = room;
    const int status = inflate(inflate_.get(), Z_NO_FLUSH);
    done += room - inflate_->avail_out;
    if (status == Z_STREAM_END) {
      member_open_ = false;
    } else if (status != Z_OK && status != Z_BUF_ERROR) {
      throw IoError("{}: gzip stream is damaged at inflated offset {}; got {}", path_, offset_ + done,
                    inflate_->msg != nullptr ? inflate_->msg : zError(status));
    }
  }
  return done;
}

std::vector<std::uint8_t> read_bytes(const std::string& path, std::uint64_t max_bytes) {
  const std::uint64_t size = regular_file_size(path);
  if (size > max_bytes) throw IoError("{}: too large; got {} bytes, the limit here is {}", path, size, max_bytes);
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(open_for_reading(path), std::fclose);
  std::vector<std::uint8_t> bytes(size);
  const std::size_t n = read_some(file.get(), bytes, path);
  if (n != size) throw IoError("{}: shrank while being read; got {} of {} bytes", path, n, size);
  return bytes;
}

}  // namespace retort
