// tests/io/test_files.h -- temporary folders, byte strings and seeded damage for the tests of file readers.
#pragma once
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

namespace retort::test {

using Bytes = std::vector<std::uint8_t>;

/// An empty folder that is removed with its content at the end of the scope.
class TemporaryFolder {
 public:
  explicit TemporaryFolder(const std::filesystem::path& parent = std::filesystem::temp_directory_path()) {
    std::string pattern = (parent / "retort_test_XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
    path_ = pattern;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  std::string file(const std::string& name) const { return (path_ / name).string(); }
  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

inline void write_bytes(const std::string& path, const Bytes& bytes) {
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

/// Damages a file's bytes in one of six ways: truncation, bit flips, random bytes, 0xff runs, a removed or a doubled
/// piece. The first 64 bytes, where headers live, are hit half of the time.
inline Bytes damaged(Bytes bytes, std::mt19937_64& rng) {
  const auto below = [&rng](std::size_t n) { return n == 0 ? 0 : static_cast<std::size_t>(rng() % n); };
  const auto place = [&] { return below(rng() % 2 == 0 ? std::min<std::size_t>(bytes.size(), 64) : bytes.size()); };
  const auto at = [](std::size_t i) { return static_cast<std::ptrdiff_t>(i); };
  const std::size_t edits = 1 + below(4);
  for (std::size_t e = 0; e < edits && !bytes.empty(); ++e) {
    const std::size_t start = place(), length = std::min(bytes.size() - start, 1 + below(16));
    switch (rng() % 6) {
      case 0:
        bytes.resize(below(bytes.size()));
        break;
      case 1:
        bytes[start] ^= static_cast<std::uint8_t>(1u << below(8));
        break;
      case 2:
        bytes[start] = static_cast<std::uint8_t>(rng());
        break;
      case 3:
        std::fill_n(bytes.begin() + at(start), length, std::uint8_t{0xff});
        break;
      case 4:
        bytes.erase(bytes.begin() + at(start), bytes.begin() + at(start + length));
        break;
      default: {
        const Bytes piece(bytes.begin() + at(start), bytes.begin() + at(start + length));
        bytes.insert(bytes.begin() + at(start), piece.begin(), piece.end());
      }
    }
  }
  return bytes;
}

/// `quick` rounds, or `soak` of them when RETORT_SOAK=1.
inline int rounds(int quick, int soak) {
  const char* flag = std::getenv("RETORT_SOAK");
  return flag != nullptr && std::string(flag) == "1" ? soak : quick;
}

}  // namespace retort::test
