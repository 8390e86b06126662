// io/byte_reader.h -- sequential reading of a regular file, plain or gzip, with damage reported as IoError.
#pragma once
#include <cstdint>
#include <cstdio>
#include <memory>
#include <span>
#include <string>
#include <vector>

struct z_stream_s;

namespace retort {

/// Reads a regular file from its start to its end. A file that begins with the gzip signature (RFC 1952, one member or
/// several) is inflated on the way and its checksums are verified; any other file is passed through. Memory use is
/// constant. Throws IoError naming the file: missing, not a regular file, unreadable, or a damaged gzip stream.
class ByteReader {
 public:
  explicit ByteReader(const std::string& path);
  ~ByteReader();
  ByteReader(const ByteReader&) = delete;
  ByteReader& operator=(const ByteReader&) = delete;

  /// Fills `out` from the stream and returns how many bytes were there: fewer than asked for only at the end.
  std::size_t read(std::span<std::uint8_t> out);
  /// Bytes delivered so far: an offset into the plain or the inflated data.
  std::uint64_t offset() const { return offset_; }
  /// An upper bound on the bytes the whole stream can deliver, known before anything is read: the file's size, times
  /// 1032 (deflate's greatest ratio) for gzip.
  std::uint64_t max_size() const;
  bool is_gzip() const { return inflate_ != nullptr; }
  const std::string& path() const { return path_; }

 private:
  struct FileCloser {
    void operator()(std::FILE* f) const { std::fclose(f); }
  };
  struct InflateEnd {
    void operator()(z_stream_s* z) const;
  };
  bool refill();
  void begin_member();
  std::size_t read_plain(std::span<std::uint8_t> out);
  std::size_t read_gzip(std::span<std::uint8_t> out);

  std::string path_;
  std::uint64_t file_size_ = 0;
  std::uint64_t offset_ = 0;
  std::unique_ptr<std::FILE, FileCloser> file_;
  std::unique_ptr<z_stream_s, InflateEnd> inflate_;
  std::vector<std::uint8_t> input_;  ///< compressed bytes read ahead (gzip only)
  bool member_open_ = false;         ///< inside a gzip member, so the end of the file would be a truncation
};

/// The whole content of a regular file of at most `max_bytes`, as it is on disk. Throws IoError.
std::vector<std::uint8_t> read_bytes(const std::string& path, std::uint64_t max_bytes);

}  // namespace retort
