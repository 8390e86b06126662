// tests/fuzz/torch_fuzz.cpp -- files as checkpoints of torch.save, zip archives and older ones.
#include "io/torch_file.h"
#include "tests/fuzz/fuzz_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const retort::fuzz::InputFile file(data, size);
  retort::fuzz::read_all([&] { return retort::open_torch(file.path()); });
  return 0;
}
