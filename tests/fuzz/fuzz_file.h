// tests/fuzz/fuzz_file.h -- one input of a fuzzer as a file that readers can open.
#pragma once
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <string>

#include "io/tensor_file.h"
#include "tensor/error.h"

namespace retort::fuzz {

/// A file in memory that always has the input's bytes.
class InputFile {
 public:
  InputFile(const std::uint8_t* data, std::size_t size) : fd_(memfd_create("input", 0)) {
    if (fd_ < 0 || ::write(fd_, data, size) != static_cast<ssize_t>(size)) std::abort();
  }
  ~InputFile() { ::close(fd_); }
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;
  std::string path() const { return "/proc/self/fd/" + std::to_string(fd_); }

 private:
  int fd_;
};

/// Opens a file by `open` and reads its tensors, at most a MB of them. An IoError is a good answer; any other exception
/// ends the fuzzer, and so does a tensor that is not as long as it says.
template <class Open>
void read_all(const Open& open) {
  try {
    const auto file = open();
    std::int64_t left = 1 << 20;
    for (const FileTensor& tensor : file->tensors()) {
      if (tensor.bytes > left) continue;
      left -= tensor.bytes;
      if (static_cast<std::int64_t>(file->bytes(tensor).size()) != tensor.bytes) std::abort();
    }
  } catch (const IoError&) {
  }
}

}  // namespace retort::fuzz
