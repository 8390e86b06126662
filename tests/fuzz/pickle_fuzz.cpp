// tests/fuzz/pickle_fuzz.cpp -- pickles, alone and as the data.pkl of a sound archive.
#include "io/pickle.h"
#include "io/torch_file.h"
#include "tests/fuzz/fuzz_file.h"
#include "tests/io/foreign_files.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    retort::read_pickle({reinterpret_cast<const std::byte*>(data), size}, "input");
  } catch (const retort::IoError&) {
    return 0;
  }
  const std::string archive = retort::test::sound_torch_zip({reinterpret_cast<const char*>(data), size});
  const retort::fuzz::InputFile file(reinterpret_cast<const std::uint8_t*>(archive.data()), archive.size());
  retort::fuzz::read_all([&] { return retort::open_torch(file.path()); });
  return 0;
}
