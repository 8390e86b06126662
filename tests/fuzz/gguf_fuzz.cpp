// tests/fuzz/gguf_fuzz.cpp -- files as GGUF.
#include "io/gguf.h"
#include "tests/fuzz/fuzz_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const retort::fuzz::InputFile file(data, size);
  retort::fuzz::read_all([&] { return retort::open_gguf(file.path()); });
  return 0;
}
