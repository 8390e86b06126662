// tests/io/tokenizer_fixture.h -- what tests/fixtures/tokenizer_cases.py wrote: tokenizers, lines, and their reference.
#pragma once
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "io/file.h"
#include "io/tokenizer.h"
#include "retort_paths.h"
#include "tests/io/test_files.h"

namespace retort::test {

inline std::string tokenizer_path(const std::string& name) {
  return (std::filesystem::path(RETORT_SOURCE_ROOT) / "tests/fixtures/tokenizers" / name).string();
}

inline nlohmann::json tokenizer_json(const std::string& name) {
  return nlohmann::json::parse(read_file(tokenizer_path(name)));
}

/// `assembled` of tokenizer_cases.py: a base with the sections of a case.
inline nlohmann::json assembled_tokenizer(const nlohmann::json& test_case) {
  nlohmann::json whole = tokenizer_json(test_case.at("base").get<std::string>() + ".json");
  nlohmann::json& vocab = whole["model"]["vocab"];
  for (const auto& [key, value] : test_case.at("set").items()) {
    const std::size_t first = vocab.size();
    if (key == "added_tokens") {
      for (std::size_t i = 0; i < value.size(); ++i) {
        nlohmann::json token = value[i];
        token["id"] = first + i;
        whole[key].push_back(token);
      }
    } else if (key == "vocab" && vocab.is_array()) {
      for (const auto& entry : value) vocab.push_back(entry);
    } else if (key == "vocab") {
      for (std::size_t i = 0; i < value.size(); ++i) vocab[value[i].get<std::string>()] = first + i;
    } else if (key == "merges") {
      for (const auto& entry : value) whole["model"][key].push_back(entry);
    } else if (key.starts_with("model.")) {
      whole["model"][key.substr(6)] = value;
    } else {
      whole[key] = value;
    }
  }
  return whole;
}

/// A tokenizer of that JSON, through a file.
inline Tokenizer tokenizer_from(const nlohmann::json& whole) {
  const TemporaryFolder folder;
  write_file_atomic(folder.file("tokenizer.json"), whole.dump());
  return open_tokenizer(folder.file("tokenizer.json"));
}

/// FNV-1a of 32 bits, its halves together.
inline std::string line_digest(const std::string& text) {
  std::uint32_t value = 0x811c9dc5;
  for (const char c : text) value = (value ^ static_cast<unsigned char>(c)) * 0x01000193u;
  return fmt::format("{:04x}", value >> 16 ^ (value & 0xffff));
}

/// `line_digest` of tokenizer_cases.py: ids with and without marks, both decoded texts.
inline std::string outcome_digest(const Tokenizer& tokenizer, const std::string& line) {
  const auto ids = tokenizer.encode(line), plain = tokenizer.encode(line, false);
  return line_digest(fmt::format("{}\n{}\n{}\n{}", fmt::join(ids, " "), fmt::join(plain, " "), tokenizer.decode(ids),
                                 tokenizer.decode(ids, false)));
}

}  // namespace retort::test
