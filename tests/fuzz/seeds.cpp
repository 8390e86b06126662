// tests/fuzz/seeds.cpp -- seeds CORPUS FORMATS TOKENIZERS: sound files, from which each fuzzer begins, into
// CORPUS/FUZZER/.
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "tests/io/foreign_files.h"

namespace fs = std::filesystem;
using namespace retort::test;

namespace {

void put(const fs::path& file, const std::string& content) {
  fs::create_directories(file.parent_path());
  std::ofstream(file, std::ios::binary).write(content.data(), static_cast<std::streamsize>(content.size()));
}

std::string fuzzer_of(const fs::path& fixture) {
  const std::string extension = fixture.extension().string();
  return extension == ".pt" ? "torch" : extension == ".json" ? "shards" : extension.substr(1);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return std::fprintf(stderr, "usage: seeds CORPUS FORMATS TOKENIZERS\n"), 2;
  const fs::path corpus = argv[1];
  put(corpus / "safetensors/sound", sound_safetensors());
  put(corpus / "shards/sound", sound_index());
  put(corpus / "gguf/sound", sound_gguf());
  put(corpus / "torch/zip", sound_torch_zip());
  put(corpus / "torch/legacy", sound_torch_legacy());
  put(corpus / "pickle/sound", sound_pickle());
  const auto copy = [](const fs::path& fixture, const fs::path& folder) {
    fs::create_directories(folder);
    fs::copy_file(fixture, folder / fixture.filename(), fs::copy_options::overwrite_existing);
  };
  for (const auto& fixture : fs::directory_iterator(argv[2])) copy(fixture.path(), corpus / fuzzer_of(fixture.path()));
  for (const char* name : {"gpt2.json", "gpt2.gguf", "llama.json", "bert.json", "unigram.json", "spm.gguf",
                           "spm_bpe.model", "spm_unigram.model"})
    copy(fs::path(argv[3]) / name, corpus / "tokenizer");
  return 0;
}
