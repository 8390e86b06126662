// io/file.cpp -- whole files by POSIX calls, with the errors of each step named.
#include "io/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "tensor/error.h"

namespace retort {
namespace fs = std::filesystem;

void throw_file_error(const fs::path& path, std::string_view operation, int error_number) {
  throw IoError("{}: cannot {}; {}", path.string(), operation, std::generic_category().message(error_number));
}

FileDescriptor& FileDescriptor::operator=(FileDescriptor&& other) noexcept {
  if (this != &other) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = other.release();
  }
  return *this;
}

FileDescriptor::~FileDescriptor() {
  if (fd_ >= 0) ::close(fd_);
}

int FileDescriptor::release() { return std::exchange(fd_, -1); }

FileDescriptor open_file(const fs::path& path, int flags) {
  FileDescriptor fd(::open(path.c_str(), flags | O_CLOEXEC, 0666));
  if (fd.get() < 0) throw_file_error(path, "open", errno);
  return fd;
}

std::string read_file(const fs::path& path) {
  const FileDescriptor fd = open_file(path, O_RDONLY);
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) throw_file_error(path, "stat", errno);
  // The size is only a first guess: files in /proc and pipes say 0.
  std::string text(static_cast<std::size_t>(info.st_size) + 1, '\0');
  std::size_t used = 0;
  while (true) {
    const ssize_t got = ::read(fd.get(), text.data() + used, text.size() - used);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw_file_error(path, "read", errno);
    if (got == 0) break;
    used += static_cast<std::size_t>(got);
    if (used == text.size()) text.resize(2 * text.size() + 4096);
  }
  text.resize(used);
  return text;
}

void write_file_atomic(const fs::path& path, std::span<const std::byte> bytes) {
  TemporaryFile file(path);
  file.write_at(bytes, 0);
  file.commit();
}

void write_file_atomic(const fs::path& path, std::string_view text) { write_file_atomic(path, bytes_of(text)); }

void sync_directory(const fs::path& directory) {
  const fs::path named = directory.empty() ? fs::path(".") : directory;
  const FileDescriptor fd = open_file(named, O_RDONLY | O_DIRECTORY);
  // Some network file systems know no fsync of folders (EINVAL): there the rename is as durable as it gets.
  if (::fsync(fd.get()) != 0 && errno != EINVAL) throw_file_error(named, "sync the folder", errno);
}

TemporaryFile::TemporaryFile(const fs::path& target)
    : target_(target), path_(target.string() + ".tmp"), fd_(open_file(path_, O_RDWR | O_CREAT | O_TRUNC)) {}

TemporaryFile::~TemporaryFile() {
  if (!committed_) ::unlink(path_.c_str());
}

void TemporaryFile::write_at(std::span<const std::byte> bytes, std::int64_t offset) {
  while (!bytes.empty()) {
    const ssize_t put = ::pwrite(fd_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) throw_file_error(path_, "write", errno);
    bytes = bytes.subspan(static_cast<std::size_t>(put));
    offset += put;
  }
}

void TemporaryFile::discard() {
  // Nothing depends on it: a file that cannot even be shortened is overwritten or removed all the same.
  if (::ftruncate(fd_.get(), 0) != 0) return;
}

void TemporaryFile::commit() {
  if (::fsync(fd_.get()) != 0) throw_file_error(path_, "sync", errno);
  // Network file systems report a full disk or quota only here.
  if (::close(fd_.release()) != 0 && errno != EINTR) throw_file_error(path_, "close", errno);
  if (::rename(path_.c_str(), target_.c_str()) != 0) throw_file_error(target_, "rename the temporary to this", errno);
  committed_ = true;
  sync_directory(target_.parent_path());
}

MappedFile::MappedFile(const fs::path& path) : path_(path), fd_(open_file(path, O_RDONLY)) {
  struct stat info {};
  if (::fstat(fd_.get(), &info) != 0) throw_file_error(path, "stat", errno);
  if (!S_ISREG(info.st_mode)) throw IoError("{}: cannot map; not a regular file", path.string());
  const auto size = static_cast<std::size_t>(info.st_size);
  if (size == 0) return;  // mmap refuses an empty range
  void* start = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd_.get(), 0);
  if (start == MAP_FAILED) throw_file_error(path, "map", errno);
  bytes_ = {static_cast<const std::byte*>(start), size};
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

void MappedFile::stream(std::size_t offset, std::size_t size, const ByteSink& sink) const {
  static const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  const auto advise = [&](std::size_t begin, std::size_t end, int advice) {
    // A hint: what is refused (a special file system, an old kernel) changes speed, not bytes.
    if (begin < end) ::madvise(const_cast<std::byte*>(bytes_.data()) + begin, end - begin, advice);
  };
  const std::size_t stop = offset + size;
  // The page on which another tensor ends or begins is let go with that one's other pages.
  std::size_t held = (offset + page - 1) / page * page;
  for (std::size_t at = offset; at < stop;) {
    const std::size_t piece = std::min(kPiece, stop - at), next = at + piece;
    advise(next / page * page, std::min(stop, next + 4 * kPiece), MADV_WILLNEED);
    sink(bytes_.subspan(at, piece));
    advise(held, next / page * page, MADV_DONTNEED);
    held = std::max(held, next / page * page);
    at = next;
  }
}

}  // namespace retort
