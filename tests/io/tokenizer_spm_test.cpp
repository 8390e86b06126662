// tests/io/tokenizer_spm_test.cpp -- SentencePiece's files and its tokenizers in GGUF, against sentencepiece itself.
#include "io/tokenizer_spm.h"

#include "tensor/error.h"
#include "tests/io/checkpoint_fixture.h"
#include "tests/io/tokenizer_fixture.h"

using namespace retort;
using namespace retort::test;
using nlohmann::json;

namespace {
/// `line_digest` of spm_cases.py.
std::string spm_digest(const Tokenizer& tokenizer, const std::string& line) {
  const auto ids = tokenizer.encode(line, false);
  const bool unknown = std::find(ids.begin(), ids.end(), 0) != ids.end();
  return line_digest(fmt::format("{}\n{}", fmt::join(ids, " "), unknown ? "" : tokenizer.decode(ids)));
}

std::string file_of(const std::string& name) { return read_file(tokenizer_path(name + ".model")); }

/// A field of a message: bytes.
std::string field(int number, const std::string& bytes) {
  return std::string{static_cast<char>(number << 3 | 2), static_cast<char>(bytes.size())} + bytes;
}
std::string piece(const std::string& text, int type = 1) {
  return field(1, field(1, text) + std::string{0x15, 0, 0, 0, 0} + std::string{0x18, static_cast<char>(type)});
}
std::string refusal(const std::string& bytes) {
  return error_text<IoError>([&] { read_spm_file(bytes, "m"); });
}
}  // namespace

TEST_CASE("io/tokenizer spm: ids and texts are the reference's, by merges and by the likeliest cut") {
  const auto lines = tokenizer_json("lines.json").get<std::vector<std::string>>();
  int compared = 0;
  for (const json& entry : tokenizer_json("spm.json")) {
    const auto name = entry.at("name").get<std::string>(), digests = entry.at("digests").get<std::string>();
    const Tokenizer tokenizer = open_tokenizer(tokenizer_path(name + ".model"));
    REQUIRE(digests.size() == 4 * lines.size());
    for (std::size_t i = 0; i < entry.at("ids").size(); ++i)
      CHECK_MESSAGE(tokenizer.encode(lines[i], false) == entry.at("ids")[i].get<std::vector<std::int64_t>>(), name,
                    ": ", lines[i]);
    int wrong = 0;
    for (std::size_t i = 0; i < lines.size(); ++i) {
      const std::string wanted = digests.substr(4 * i, 4);
      if (wanted == "....") continue;
      ++compared;
      if (spm_digest(tokenizer, lines[i]) != wanted && ++wrong <= 5) MESSAGE(name, " differs on ", lines[i]);
    }
    CHECK_MESSAGE(wrong == 0, name);
  }
  CHECK(compared > 800);
}

TEST_CASE("io/tokenizer spm: the same tokenizer from a GGUF file") {
  const Tokenizer from_file = open_tokenizer(tokenizer_path("spm_bpe.model")),
                  from_gguf = open_tokenizer(tokenizer_path("spm.gguf"));
  CHECK(from_gguf.kind() == "BPE");
  CHECK(from_gguf.is_special(1));
  CHECK_FALSE(from_gguf.is_special(300));
  for (const std::string line : tokenizer_json("lines.json")) {
    std::vector<std::int64_t> ids = from_file.encode(line);
    CHECK(from_gguf.encode(line, false) == ids);
    CHECK(from_gguf.decode(ids) == from_file.decode(ids));
    ids.insert(ids.begin(), 1);  // bos, where the file does not say
    CHECK(from_gguf.encode(line) == ids);
  }
  // Marks are found in texts, and what lies between them begins as a text does.
  const auto ids = from_gguf.encode("</s>word", false);
  CHECK(ids.at(0) == 2);
  CHECK(std::vector<std::int64_t>(ids.begin() + 1, ids.end()) == from_gguf.encode("word", false));
}

TEST_CASE("io/tokenizer spm: the best merge is made first, of equal ones the leftmost, and never with a user's piece") {
  SpmModel model;
  model.bpe = true;
  model.prefix = false;
  const auto add = [&](const char* text, double score, SpmType type = SpmType::normal) {
    model.pieces.push_back({text, score, type});
  };
  add("<unk>", 0, SpmType::unknown);
  add("a", -9);
  add("b", -9);
  add("aa", -2);
  add("ab", -1);
  add("ba", -1);
  add("bb", 0, SpmType::user_defined);
  add("bba", -.5);
  const Tokenizer t(make_spm(model, "m"));
  using Ids = std::vector<std::int64_t>;
  CHECK(t.encode("aaa") == Ids{3, 1});
  CHECK(t.encode("aab") == Ids{1, 4});
  CHECK(t.encode("aba") == Ids{4, 1});
  CHECK(t.encode("abba") == Ids{1, 6, 1});
  CHECK(t.encode("axya") == Ids{1, 0, 1});
  model.byte_fallback = true;
  for (const char* byte : {"<0xC3>", "<0xA9>"}) add(byte, 0, SpmType::byte);
  CHECK(Tokenizer(make_spm(model, "m")).encode("a\u00e9x<0xC3>").size() == 4);
}

TEST_CASE("io/tokenizer spm: what a file must not say is refused by its place") {
  CHECK(refusal(piece("<unk>", 2) + piece("a")).empty());
  CHECK(contains(refusal(piece("a") + piece("a")), "\"a\""));
  CHECK(contains(refusal(piece("<unk>", 2) + piece("<?>", 2)), "m: piece 1: there is an unknown piece already"));
  CHECK(contains(refusal(piece("a", 5)), "unused pieces are not supported"));
  CHECK(contains(refusal(piece("a", 7)), "m: pieces[0]: unknown type 7"));
  CHECK(contains(refusal(piece("")), "a piece has a text"));
  CHECK(contains(refusal(piece("\xff")), "is no UTF-8"));
  CHECK(contains(refusal(field(1, field(1, "a") + std::string("\x15\0\0\xc0\x7f", 5))), "its score is no number"));
  CHECK(contains(refusal(piece("a") + field(2, std::string{0x18, 4})), "m: trainer_spec: model_type 4"));
  CHECK(contains(refusal(piece("a") + field(3, std::string{0x28, 0})), "m: normalizer_spec: spaces"));
  CHECK(contains(refusal(piece("a") + field(3, field(2, "abc"))), "precompiled_charsmap"));
  CHECK(contains(refusal(piece("a") + field(5, field(2, "abcd"))), "denormalizer_spec"));
  CHECK(contains(refusal(piece("a") + field(1, std::string{0x08, 1})), "wire type 0; expected 2"));
  CHECK(contains(refusal("\x0a\x7f"), "truncated"));
  CHECK(contains(refusal(std::string(12, '\xff')), "more than ten bytes"));
  CHECK(contains(refusal("\x0b"), "unknown wire type 3"));
  CHECK(contains(refusal(""), "there is no piece"));
  CHECK(
      contains(error_text<ValueError>([] { Tokenizer(read_spm_file(piece("a"), "m")).encode("b"); }), "has no token"));
}

TEST_CASE("io/tokenizer spm: damaged files are errors or tokenizers, and a JSON text after an empty line is JSON") {
  std::mt19937_64 rng(5);
  for (const char* name : {"spm_bpe", "spm_unigram"}) {
    const std::string sound = file_of(name);
    for (int i = 0; i < 150; ++i) {
      const Bytes bytes = damaged(Bytes(sound.begin(), sound.end()), rng);
      try {
        const Tokenizer tokenizer(read_spm_file(std::string(bytes.begin(), bytes.end()), "m"));
        const auto ids = tokenizer.encode("The teacher's café, 敏捷");
        for (const std::int64_t id : ids) CHECK(id < tokenizer.vocab_size());
        tokenizer.decode(ids);
      } catch (const IoError&) {
      } catch (const ValueError&) {
      }
    }
  }
  CHECK(looks_like_spm_file(file_of("spm_bpe")));
  CHECK_FALSE(looks_like_spm_file("\n\n {\"version\": 1}"));
  CHECK_FALSE(looks_like_spm_file("\n"));
}
