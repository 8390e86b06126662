// tests/fuzz/shards_fuzz.cpp -- indices of shards, beside a sound shard.
#include <filesystem>
#include <fstream>

#include "tests/fuzz/fuzz_file.h"
#include "tests/io/foreign_files.h"
#include "tests/io/test_files.h"

namespace {
void put(const std::string& path, const char* data, std::size_t size) {
  std::ofstream(path, std::ios::binary).write(data, static_cast<std::streamsize>(size));
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const retort::test::TemporaryFolder folder("/dev/shm");
  static const std::string shard = retort::test::sound_safetensors();
  static const bool written = (put(folder.file("model.safetensors"), shard.data(), shard.size()), true);
  static_cast<void>(written);
  put(folder.file("index.json"), reinterpret_cast<const char*>(data), size);
  retort::fuzz::read_all([&] { return retort::open_tensor_file(folder.file("index.json")); });
  return 0;
}
