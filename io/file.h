// io/file.h -- reading, mapping and replacing whole files; every failure is an IoError with path, operation and reason.
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>

namespace retort {

/// Takes bytes piece by piece; a piece is valid during the call only. A source hands all of its bytes to a sink, in
/// order, so that large payloads are never in memory as a whole.
using ByteSink = std::function<void(std::span<const std::byte>)>;
using ByteSource = std::function<void(const ByteSink&)>;

/// Throws IoError "PATH: cannot OPERATION; REASON" with the system's text for `error_number` (usually errno).
[[noreturn]] void throw_file_error(const std::filesystem::path& path, std::string_view operation, int error_number);

/// The bytes of a string, for functions that take raw bytes.
inline std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

/// Owns a POSIX file descriptor; closes it when destroyed.
class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int fd) : fd_(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(other.release()) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept;
  ~FileDescriptor();
  int get() const { return fd_; }
  /// Gives the descriptor away; this object then holds none.
  int release();

 private:
  int fd_ = -1;
};

/// open(2) with close-on-exec. `flags` as in <fcntl.h>; a created file may be read and written as the umask allows.
FileDescriptor open_file(const std::filesystem::path& path, int flags);

/// The whole file as text or raw bytes.
std::string read_file(const std::filesystem::path& path);

/// Replaces `path` by `bytes` so that a crash, a power loss or a full disk leaves either the old file or the new one,
/// never a mixture: writes `path`.tmp, syncs, renames, syncs the folder. On an error the temporary is removed.
void write_file_atomic(const std::filesystem::path& path, std::span<const std::byte> bytes);
void write_file_atomic(const std::filesystem::path& path, std::string_view text);

/// Makes renames and removals inside `directory` survive a power loss.
void sync_directory(const std::filesystem::path& directory);

/// A file being written beside its final place, as `target`.tmp (an older one is overwritten). `commit` puts it in
/// place atomically and durably; without it the destructor removes the temporary and the old target stays.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::filesystem::path& target);
  ~TemporaryFile();
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  const std::filesystem::path& path() const { return path_; }
  void write_at(std::span<const std::byte> bytes, std::int64_t offset);
  /// Empties the file, which frees its space on disk.
  void discard();
  void commit();

 private:
  std::filesystem::path target_, path_;
  FileDescriptor fd_;
  bool committed_ = false;
};

/// A regular file mapped read-only into memory, kept open. The bytes stay valid as long as the object lives; a file
/// that another program shortens in place meanwhile is out of reach of any protection (the kernel sends SIGBUS).
class MappedFile {
 public:
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return bytes_; }
  /// Hands `size` bytes from `offset` on to `sink` in pieces of at most kPiece, asks the system for what comes next and
  /// lets go of the pages behind, so that reading a file larger than the memory does not fill it. The range lies
  /// inside.
  void stream(std::size_t offset, std::size_t size, const ByteSink& sink) const;
  static constexpr std::size_t kPiece = std::size_t{1} << 20;
  const std::filesystem::path& path() const { return path_; }
  int descriptor() const { return fd_.get(); }

 private:
  std::filesystem::path path_;
  FileDescriptor fd_;
  std::span<const std::byte> bytes_;
};

}  // namespace retort
