// tests/fuzz/tokenizer_fuzz.cpp -- tokenizer.json, tokenizer.model, GGUF; what opens turns a text into ids and back.
#include "io/tokenizer.h"
#include "tests/fuzz/fuzz_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const retort::fuzz::InputFile file(data, size);
  try {
    const retort::Tokenizer tokenizer = retort::open_tokenizer(file.path());
    const auto ids = tokenizer.encode("The teacher's  12 caf\u00e9s, \u654f\u6377 <s>word</s>\r\n e\u0301 \U0001f44d.");
    for (const std::int64_t id : ids)
      if (id < 0 || id >= tokenizer.vocab_size()) std::abort();
    tokenizer.decode(ids);
    tokenizer.decode(ids, false);
  } catch (const retort::IoError&) {
  } catch (const retort::ValueError&) {
  }
  return 0;
}
