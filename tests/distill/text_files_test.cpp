// tests/distill/text_files_test.cpp -- texts from plain files: passages, the split, rows, bad input.
#include "distill/data/text_files.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "tensor/error.h"
#include "tests/io/test_files.h"

using namespace retort;
using retort::test::TemporaryFolder;

namespace {
std::shared_ptr<const TokenSet> texts(const std::string& yaml) {
  Config node = Config::parse("data: {train: " + yaml + "}", "job");
  const auto set = make_token_set(node.child("data.train"));
  node.check_all_read();
  return set;
}

void write(const TemporaryFolder& folder, const std::string& name, const std::string& text) {
  std::ofstream(folder.file(name)) << text;
}

/// Passages of a set that has one row for each.
std::multiset<std::string> passages_of(const TokenSet& set) {
  std::multiset<std::string> all;
  for (std::int64_t i = 0; i < set.size(); ++i) {
    std::string text;
    for (const std::int64_t t : set.row(i).response)
      if (t < kPassageMark) text += static_cast<char>(t);
    all.insert(text);
  }
  return all;
}

/// `count` passages of 12 bytes; every fifth comes again, shouted and with other punctuation.
std::string numbered(int count) {
  std::string text;
  for (int i = 0; i < count; ++i) {
    text += fmt::format("passage {:04}\n%\n", i);
    if (i % 5 == 0) text += fmt::format("  PASSAGE,\t{:04}!\n%\n", i);
  }
  return text;
}
}  // namespace

TEST_CASE("text files: passages stand between separators, without white space and overstriking") {
  const std::vector<std::string> two{"one\n\ttwo", "three"};
  CHECK(passages_in("%\n\n one\n\ttwo \n% \n\n%\nthree", "%") == two);
  CHECK(passages_in("one\n\ttwo\n \t\n\n\nthree\n", "") == two);
  CHECK(passages_in("_\bb_\bo_\bl\bld\n", "") == std::vector<std::string>{"bold"});
  CHECK(passages_in(" \n\n%\n", "%").empty());
}

TEST_CASE("text files: a passage and its copies are in one split, of the asked share") {
  const TemporaryFolder folder;
  write(folder, "numbers", numbered(2000));
  const auto of = [&](const std::string& split) {
    return passages_of(*texts("{kind: text, files: [" + folder.file("numbers") + "], separator: '%', split: " + split +
                              ", held_out: .1, prompt: 1, length: 14}"));
  };
  const auto train = of("train"), valid = of("valid"), test = of("test");
  CHECK(train.size() + valid.size() + test.size() == 2000);  // copies are left out, whatever their case
  CHECK(valid.size() == doctest::Approx(200).epsilon(.2));
  CHECK(test.size() == doctest::Approx(200).epsilon(.2));
  std::set<std::string> all;
  for (const auto* part : {&train, &valid, &test}) all.insert(part->begin(), part->end());
  CHECK(all.size() == 2000);
  CHECK(split_of("One, two.", .3) == split_of("one\n\tTWO", .3));
  int apart = 0;
  for (int i = 0; i < 100; ++i) apart += split_of(fmt::format("{}", i), .3) != split_of(fmt::format("{}", i + 1), .3);
  CHECK(apart > 20);
}

TEST_CASE("text files: every token but a text's first prompt is in one response") {
  const TemporaryFolder folder;
  write(folder, "book", "abcdefghij\n\nklm\n\nnopqrstuvwxyz01\n");
  for (const bool pack : {false, true})
    for (const int prompt : {1, 3}) {
      const auto set =
          texts(fmt::format("{{kind: text, files: ['{}'], held_out: 1e-9, prompt: {}, length: 7, pack: {}}}",
                            folder.file("book"), prompt, pack));
      CHECK(set->vocab() == 257);
      CHECK(set->end() == kPassageMark);
      CHECK(set->bytes() == 256);
      std::string first, said;
      for (std::int64_t i = 0; i < set->size(); ++i) {
        const TokenRow& row = set->row(i);
        CHECK(row.prompt.size() == static_cast<std::size_t>(prompt));
        CHECK(row.response.size() <= 7 - row.prompt.size());
        if (row.prompt[0] == kPassageMark && (i == 0 || !pack)) {
          for (const std::int64_t t : row.prompt) first += t == kPassageMark ? '|' : static_cast<char>(t);
        } else {  // the prompt is the end of the row before
          const TokenRow& before = set->row(i - 1);
          TokenIds last = before.prompt;
          last.insert(last.end(), before.response.begin(), before.response.end());
          CHECK(std::equal(row.prompt.rbegin(), row.prompt.rend(), last.rbegin()));
        }
        for (const std::int64_t t : row.response) said += t == kPassageMark ? '|' : static_cast<char>(t);
      }
      if (prompt == 1) CHECK(said == "abcdefghij|klm|nopqrstuvwxyz01|");
      if (prompt == 1) CHECK(first == (pack ? "|" : "|||"));
      if (prompt == 3 && pack) CHECK(first + said == "|abcdefghij|klm|nopqrstuvwxyz01|");
      if (prompt == 3 && !pack) CHECK(first + "/" + said == "|ab|kl|no/cdefghij|m|pqrstuvwxyz01|");
    }
}

TEST_CASE("text files: rows depend on the files alone, each read once by whatever name") {
  const TemporaryFolder folder;
  for (const char* name : {"b", "a", "c"}) write(folder, name, std::string("text of the file ") + name + "\n");
  std::filesystem::create_symlink(folder.file("a"), folder.file("d"));
  std::filesystem::create_directory(folder.file("e"));
  const std::string rest = ", held_out: 1e-9, length: 10}";
  const auto by_glob = texts("{kind: text, files: ['" + folder.file("*") + "']" + rest);
  const auto by_name = texts("{kind: text, files: ['" + folder.file("a") + "', '" + folder.file("[bcd]") + "']" + rest);
  CHECK(by_glob->size() == by_name->size());
  for (std::int64_t i = 0; i < by_glob->size(); ++i) CHECK(by_glob->row(i).response == by_name->row(i).response);
  CHECK(by_glob->size() == 9);
}

TEST_CASE("text files: bad input is named") {
  const TemporaryFolder folder;
  write(folder, "book", "abcdefghij\n\nklm\n");
  write(folder, "empty", "");
  write(folder, "white", " \n\n");
  write(folder, "binary", std::string("ab\0cd", 5));
  const auto of = [&](const std::string& file, const std::string& rest = "") {
    return texts("{kind: text, files: ['" + folder.file(file) + "'], held_out: 1e-9" + rest + "}");
  };
  CHECK(of("book", ", length: 12")->size() == 2);
  CHECK_THROWS_WITH_AS(of("none"), doctest::Contains("none"), IoError);
  CHECK_THROWS_WITH_AS(of("no*"), doctest::Contains("data.train.files.0: no file is named like this"), IoError);
  CHECK_THROWS_WITH_AS(of("empty"), doctest::Contains("empty: the file has no passage"), IoError);
  CHECK_THROWS_WITH_AS(of("white"), doctest::Contains("white: the file has no passage"), IoError);
  CHECK_THROWS_WITH_AS(of("binary"), doctest::Contains("byte 2 is zero"), IoError);
  CHECK_THROWS_WITH_AS(of("book", ", length: 13"), doctest::Contains("the longest passage has 12 tokens"), ConfigError);
  CHECK_THROWS_WITH_AS(of("book", ", prompt: 12, length: 13"),
                       doctest::Contains("train.prompt: the longest passage has"), ConfigError);
  CHECK_THROWS_WITH_AS(of("book", ", prompt: 5, length: 5"), doctest::Contains("longer than its prompt"), ConfigError);
  CHECK_THROWS_WITH_AS(of("book", ", pack: true"), doctest::Contains("the longest text has 16 tokens"), ConfigError);
  CHECK_THROWS_WITH_AS(of("book", ", split: test, length: 12"), doctest::Contains("falls in this split"), ConfigError);
  CHECK_THROWS_WITH_AS(texts("{kind: text}"), doctest::Contains("one of them"), ConfigError);
  CHECK_THROWS_WITH_AS(texts("{kind: text, files: []}"), doctest::Contains("at least one file"), ConfigError);
  CHECK_THROWS_WITH_AS(texts("{kind: text, package: fortune}"), doctest::Contains("fortunes"), ConfigError);
}

TEST_CASE("text files: the package fortunes, or the word how to get it") {
  const std::string yaml = "{kind: text, package: fortunes, split: test}";
  if (!std::filesystem::exists("/usr/share/games/fortunes/wisdom")) {
    CHECK_THROWS_WITH_AS(texts(yaml), doctest::Contains("apt-get install fortunes"), IoError);
    return;
  }
  const auto set = texts(yaml);
  CHECK(set->size() > 500);
  CHECK(set->width() == 128);
}
