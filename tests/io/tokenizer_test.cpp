// tests/io/tokenizer_test.cpp -- tokenizers against the library whose files they read, on hundreds of difficult lines.
#include "io/tokenizer.h"

#include <chrono>

#include "io/regex.h"
#include "tensor/error.h"
#include "tests/io/checkpoint_fixture.h"
#include "tests/io/tokenizer_fixture.h"

using namespace retort;
using namespace retort::test;
using nlohmann::json;

namespace {

std::string refusal(json whole) {
  return error_text<IoError>([&] { tokenizer_from(whole); });
}

/// The base gpt2 with one member changed, and the error.
std::string refusal_of(const std::string& pointer, const json& value) {
  json whole = tokenizer_json("gpt2.json");
  whole[json::json_pointer(pointer)] = value;
  return refusal(whole);
}

std::string counted(const std::string& text) {
  const std::uint64_t size = text.size();
  return std::string(reinterpret_cast<const char*>(&size), sizeof size) + text;
}

/// The fixture in GGUF with one text of its metadata replaced, in a file.
std::string gguf_with(const TemporaryFolder& folder, const std::string& text, const std::string& other) {
  std::string bytes = read_file(tokenizer_path("gpt2.gguf"));
  const std::size_t at = bytes.find(counted(text));
  REQUIRE(at != std::string::npos);
  bytes.replace(at, counted(text).size(), counted(other));
  write_file_atomic(folder.file("model.gguf"), bytes);
  return folder.file("model.gguf");
}

json regex_split(const std::string& pattern) {
  return {{"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}, {"invert", false}};
}

}  // namespace

TEST_CASE("io/tokenizer: ids and texts are the reference's, for every case and line") {
  const auto texts = tokenizer_json("lines.json").get<std::vector<std::string>>();
  int cases = 0;
  for (const json& test_case : tokenizer_json("cases.json")) {
    const auto name = test_case.at("name").get<std::string>(), digests = test_case.at("digests").get<std::string>();
    const Tokenizer tokenizer = tokenizer_from(assembled_tokenizer(test_case));
    REQUIRE(digests.size() == 4 * texts.size());
    for (std::size_t i = 0; i < test_case.value("ids", json::array()).size(); ++i)
      CHECK_MESSAGE(tokenizer.encode(texts[i]) == test_case.at("ids")[i].get<std::vector<std::int64_t>>(), name, ": ",
                    texts[i]);
    int wrong = 0;
    for (std::size_t i = 0; i < texts.size(); ++i) {
      const bool same = outcome_digest(tokenizer, texts[i]) == digests.substr(4 * i, 4);
      if (!same && ++wrong <= 3) MESSAGE(name, " differs on ", texts[i]);
    }
    CHECK_MESSAGE(wrong == 0, name);
    ++cases;
  }
  CHECK(cases > 30);
}

TEST_CASE("io/tokenizer: the same byte-level tokenizer from a GGUF file") {
  const Tokenizer from_json = open_tokenizer(tokenizer_path("gpt2.json")),
                  from_gguf = open_tokenizer(tokenizer_path("gpt2.gguf"));
  CHECK(from_gguf.vocab_size() == from_json.vocab_size());
  CHECK(from_gguf.is_special(0));
  for (const std::string line : tokenizer_json("lines.json")) {
    std::vector<std::int64_t> ids = from_json.encode(line);
    CHECK(from_gguf.encode(line, false) == ids);
    CHECK(from_gguf.decode(ids) == from_json.decode(ids));
    ids.insert(ids.begin(), 0);  // add_bos_token
    CHECK(from_gguf.encode(line) == ids);
  }
}

TEST_CASE("io/tokenizer: how a GGUF file says that words are cut") {
  const TemporaryFolder folder;
  const json spell = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", false}};
  json words = spell, digits = {{"type", "Digits"}, {"individual_digits", true}};
  words["use_regex"] = true;
  const std::string head = R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|)",
                    tail = R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
  const std::map<std::string, json> cuts = {{"smollm", {digits, words}},
                                            {"starcoder", {digits, words}},
                                            {"qwen2", {regex_split(head + R"(\p{N})" + tail), spell}},
                                            {"llama-bpe", {regex_split(head + R"(\p{N}{1,3})" + tail), spell}}};
  const json lines = tokenizer_json("lines.json");
  for (const auto& entry : cuts) {
    const std::string name = entry.first;
    json whole = tokenizer_json("gpt2.json");
    whole["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", entry.second}};
    whole["model"]["ignore_merges"] = name == "llama-bpe";
    const Tokenizer wanted = tokenizer_from(whole), t = open_tokenizer(gguf_with(folder, "gpt-2", name));
    int differ = 0;
    for (const std::string line : lines) differ += t.encode(line, false) != wanted.encode(line, false);
    CHECK_MESSAGE(differ == 0, name);
  }
  const auto fails = [&](const std::string& text, const std::string& other) {
    return error_text<IoError>([&] { open_tokenizer(gguf_with(folder, text, other)); });
  };
  CHECK(contains(fails("gpt-2", "odd"), "model.gguf: tokenizer.ggml: pre: \"odd\" is not supported"));
  CHECK(contains(fails("gpt2", "bert"), "model: tokenizers of the kind \"bert\""));
  CHECK(contains(fails("gpt2", "llama"), "pre: \"gpt-2\" is not supported for llama"));
  CHECK(contains(fails("tokenizer.ggml.bos_token_id", "tokenizer.ggml.odd"), "unknown key \"odd\""));
  CHECK(contains(fails("tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id"), "\"bos_token_id\" is missing"));
}

TEST_CASE("io/tokenizer: tokens by id and by text") {
  const Tokenizer t = open_tokenizer(tokenizer_path("bert.json"));
  CHECK(t.kind() == "WordPiece");
  CHECK(t.id_of("[CLS]") == 2);
  CHECK(t.token(3) == "[SEP]");
  CHECK(t.is_special(4));
  CHECK_FALSE(t.is_special(5));
  CHECK_FALSE(t.id_of("no such token").has_value());
  CHECK_FALSE(t.token(t.vocab_size()).has_value());
  const std::vector<std::int64_t> beyond = {t.vocab_size()};
  CHECK(contains(error_text<ValueError>([&] { t.decode(beyond); }), fmt::format("the id {}", t.vocab_size())));
}

TEST_CASE("io/tokenizer: a text that is no UTF-8 is refused at its first bad byte") {
  const Tokenizer t = open_tokenizer(tokenizer_path("gpt2.json"));
  const auto refused_at = [&](std::string_view text, int at) {
    return contains(error_text<ValueError>([&] { t.encode(text); }), fmt::format("at byte {} of", at));
  };
  CHECK(refused_at("ab\x80", 2));
  CHECK(refused_at("\xc0\xaf", 0));
  CHECK(refused_at("x\xed\xa0\x80", 1));
  CHECK(refused_at("\xf4\x90\x80\x80", 0));
  CHECK(refused_at("ok \xe2\x82", 3));
  CHECK(refused_at("\xff", 0));
  // Bytes alone, which no text has, decode as the standard recommends: a mark for each broken beginning.
  std::vector<std::int64_t> ids;
  for (const char* token : {"â", "Ĥ", "A", "í", "ł", "A", "ð", "Ł", "ĳ"}) ids.push_back(*t.id_of(token));
  CHECK(t.decode(ids) == "\ufffdA\ufffd\ufffdA\ufffd");
}

TEST_CASE("io/tokenizer: damage and what is not known are named with file and path") {
  CHECK(contains(refusal_of("/model/type", "WordLevel"), "tokenizer.json: model.type: model \"WordLevel\""));
  CHECK(contains(refusal_of("/model/extra", 1), "model: unknown key \"extra\""));
  CHECK(contains(refusal_of("/model/dropout", .1), "model.dropout"));
  CHECK(contains(refusal_of("/model/merges/3", "a b c"), "model.merges[3]"));
  CHECK(contains(refusal_of("/model/merges/0", "q zz"), "\"qzz\" is not in the vocabulary"));
  CHECK(contains(refusal_of("/model/vocab/a", 1), "have one id, 1"));
  CHECK(contains(refusal_of("/model/vocab/a", 1'000'000), "far beyond the count of tokens"));
  CHECK(contains(refusal_of("/model/vocab/a", -1), "the id of \"a\" is no count"));
  CHECK(contains(refusal_of("/added_tokens/0/id", 5), "added_tokens[0].id"));
  CHECK(contains(refusal_of("/added_tokens/0/content", ""), "added_tokens[0].content"));
  CHECK(contains(refusal_of("/normalizer", {{"type", "Sequence"}, {"normalizers", {{{"type", "Odd"}}}}}),
                 "normalizer.normalizers[0].type: normalizer \"Odd\""));
  CHECK(contains(refusal_of("/pre_tokenizer/type", "UnicodeScripts"), "pre_tokenizer.type"));
  CHECK(
      contains(refusal_of("/pre_tokenizer", regex_split("(")), "pre_tokenizer.pattern.Regex: bad regular expression"));
  CHECK(contains(refusal_of("/decoder/type", "CTC"), "decoder.type: decoder \"CTC\""));
  CHECK(contains(refusal_of("/post_processor/type", "Other"), "post_processor.type"));
  CHECK(contains(refusal_of("/version", "2.0"), "version"));
  CHECK(contains(refusal_of("/padding", {{"odd", 1}}), "padding: unknown key \"odd\""));
  CHECK(contains(refusal_of("/unknown", 1), "unknown key \"unknown\""));
  json bert = tokenizer_json("bert.json");
  bert["post_processor"]["special_tokens"]["[SEP]"]["ids"] = {999};
  CHECK(contains(refusal(bert), "post_processor.special_tokens.[SEP].ids[0]"));
  json unigram = tokenizer_json("unigram.json");
  unigram["normalizer"]["precompiled_charsmap"] = "AAAA/w==";
  CHECK(contains(refusal(unigram), "normalizer.precompiled_charsmap"));
}

TEST_CASE("io/tokenizer: patterns that two engines would read differently are refused") {
  for (const char* pattern : {"[a-z&&[aeiou]]", "a{1,3}+", "a{2}?", "(*UTF)a", "(?m:.)", "a(?i)b|c", "\\Qa\\E",
                              "[[a]b]", "\\pL", "(?C)", "[\\W]", "{,3}a"})
    CHECK(contains(error_text<IoError>([&] { Regex(pattern, "here"); }), "here: "));
  CHECK(contains(error_text<IoError>([&] { Regex("\\p{Nowhere}", "here"); }), "unknown property"));
}

TEST_CASE("io/tokenizer: a pattern that backtracks without end stops with an error") {
  const Regex pattern("(a|aa|aaa)+$", "here");
  const auto start = std::chrono::steady_clock::now();
  CHECK(contains(error_text<ValueError>([&] { pattern.find(std::string(60, 'a') + "b", 0); }), "match limit"));
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(2));
}

TEST_CASE("io/tokenizer: long words take time in proportion to their length") {
  // One word of 200 kB: a list that were searched from its beginning for each merge would take minutes.
  const auto start = std::chrono::steady_clock::now();
  std::string word;
  while (word.size() < 200'000) word += "teacherstudent";
  for (const char* name : {"gpt2.json", "llama.json", "unigram.json"}) {
    const Tokenizer t = open_tokenizer(tokenizer_path(name));
    const auto ids = t.encode(word, false);
    CHECK(t.decode(ids) == word);
    CHECK(ids.size() < word.size() / 2);
  }
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(10));
}

TEST_CASE("io/tokenizer: damaged files are refused with their name, or make a tokenizer that works") {
  const TemporaryFolder folder;
  std::mt19937_64 rng(5);
  const int count = rounds(200, 10'000);
  int refused = 0;
  for (int i = 0; i < count; ++i) {
    constexpr const char* names[] = {"gpt2.json", "gpt2.gguf", "llama.json", "bert.json", "unigram.json"};
    const std::string whole = read_file(tokenizer_path(names[i % 5]));
    write_bytes(folder.file("damaged"), damaged({whole.begin(), whole.end()}, rng));
    CAPTURE(i);
    try {
      const Tokenizer t = open_tokenizer(folder.file("damaged"));
      for (const std::int64_t id : t.encode("The teacher's  12 caf\u00e9s <s>word\r\n")) CHECK(id < t.vocab_size());
    } catch (const IoError& error) {
      CHECK(contains(error.what(), folder.file("damaged")));
      ++refused;
    } catch (const ValueError&) {  // a vocabulary that lost characters
    }
  }
  CHECK(refused > count / 2);
  CHECK(refused < count);
}
