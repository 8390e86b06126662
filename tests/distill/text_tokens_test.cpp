// tests/distill/text_tokens_test.cpp -- texts by a tokenizer: rows, JSON lines, prompts and completions, a small job.
#include <doctest/doctest.h>

#include <cmath>
#include <fstream>

#include "distill/data/text_files.h"
#include "distill/train/run.h"
#include "distill/train/text_evaluate.h"
#include "io/tokenizer.h"
#include "retort_paths.h"
#include "tensor/error.h"
#include "tests/io/test_files.h"

using namespace retort;
using retort::test::TemporaryFolder;

namespace {
std::string tokenizer_file(const std::string& name) {
  return std::string(RETORT_SOURCE_ROOT) + "/tests/fixtures/tokenizers/" + name;
}

std::shared_ptr<const TokenSet> texts(const std::string& file, const std::string& rest,
                                      const std::string& tokenizer = "gpt2.json",
                                      const std::string& end = "<|endoftext|>") {
  const std::string yaml =
      fmt::format("data: {{train: {{kind: text, files: ['{}'], tokenizer: '{}', end: '{}', held_out: 1e-9, {}}}}}",
                  file, tokenizer_file(tokenizer), end, rest);
  Config node = Config::parse(yaml, "job");
  const auto set = make_token_set(node.child("data.train"));
  node.check_all_read();
  return set;
}

std::string written(const TemporaryFolder& folder, const std::string& name, const std::string& text) {
  std::ofstream(folder.file(name)) << text;
  return folder.file(name);
}

/// What a tokenizer's set says: the first prompts and all responses, a row where a prompt begins anew.
std::string said(const TokenSet& set) {
  TokenIds all;  // decoded at once: a character may lie in two rows
  for (std::int64_t i = 0; i < set.size(); ++i) {
    const TokenRow& row = set.row(i);
    if (i == 0 || row.prompt[0] == set.end()) all.insert(all.end(), row.prompt.begin(), row.prompt.end());
    all.insert(all.end(), row.response.begin(), row.response.end());
  }
  return set.tokenizer()->decode(all, false);
}

const std::string kMark = "<|endoftext|>";
const std::string kBook = "The teacher teaches.\n\nA student, naïve,\nlearns 12 things: 🙂\n\nэто всё\n";
}  // namespace

TEST_CASE("text tokens: passages between marks, whole or packed, cut into rows of tokens") {
  const TemporaryFolder folder;
  const std::string book = written(folder, "book", kBook);
  for (const bool pack : {false, true}) {
    const auto set = texts(book, fmt::format("prompt: 1, length: 7, pack: {}", pack));
    CHECK(set->vocab() == 420);
    CHECK(set->end() == 0);
    CHECK(set->width() == 7);
    const std::string between = pack ? kMark : kMark + kMark;
    CHECK(said(*set) == kMark + "The teacher teaches." + between + "A student, naïve,\nlearns 12 things: 🙂" +
                            between + "это всё" + kMark);
    // Tokens spell bytes, so that scores a byte can be had.
    REQUIRE(set->has_bytes());
    std::int64_t bytes = 0;
    for (std::int64_t i = 0; i < set->size(); ++i)
      for (const std::int64_t token : set->row(i).response) bytes += set->bytes_of(token);
    CHECK(bytes == static_cast<std::int64_t>(kBook.size()) - 5);  // all but line breaks between passages
  }
}

TEST_CASE("text tokens: a mark of its own may begin texts, and tables may be larger than the tokenizer") {
  const TemporaryFolder folder;
  const std::string book = written(folder, "book", "The teacher.\n\nThe student.\n");
  const auto set = texts(book, "begin: <s>, vocab: 600, pack: true, length: 8", "llama.json", "</s>");
  CHECK(set->vocab() == 600);
  CHECK(set->end() == 2);
  CHECK(set->row(0).prompt == TokenIds{1});
  CHECK_FALSE(set->has_bytes());  // what a token spells depends on its place
  CHECK(said(*set) == "<s> The teacher.</s><s> The student.</s>");
  CHECK_THROWS_WITH_AS(texts(book, "begin: <bos>", "llama.json", "</s>"),
                       doctest::Contains("begin: the tokenizer has no token"), ConfigError);
  CHECK_THROWS_WITH_AS(texts(book, "vocab: 3", "llama.json", "</s>"), doctest::Contains("train.vocab"), ConfigError);
  CHECK_THROWS_AS(texts(book, "length: 8", "none.json"), IoError);
}

TEST_CASE("text tokens: JSON lines are the passages of a field") {
  const TemporaryFolder folder;
  const std::string lines = written(folder, "lines", R"({"id": 7, "text": "The teacher teaches."}

{"text": " spaces  stay\n\n", "more": {"deep": [1]}}
{"text": ""}
)");
  const auto set = texts(lines, "fields: {text: text}, length: 6");
  CHECK(said(*set) == kMark + "The teacher teaches." + kMark + kMark + " spaces  stay\n\n" + kMark);
  const auto fails = [&](const std::string& content, const std::string& rest = "fields: {text: text}, length: 6") {
    return [&folder, content, rest] { texts(written(folder, "bad", content), rest); };
  };
  CHECK_THROWS_WITH_AS(fails("{\"text\": \"a\"}\n{\"other\": 1}\n")(), doctest::Contains("bad:2: \"text\" is missing"),
                       IoError);
  CHECK_THROWS_WITH_AS(fails("{\"text\": 3}\n")(), doctest::Contains("bad:1: text: a text is wanted"), IoError);
  CHECK_THROWS_WITH_AS(fails("\n{\"text\": \"a\"\n")(), doctest::Contains("bad:2: bad JSON"), IoError);
  CHECK_THROWS_WITH_AS(fails("[1]\n")(), doctest::Contains("bad:1: an object is wanted"), IoError);
  CHECK_THROWS_WITH_AS(fails(" \n")(), doctest::Contains("no JSON object"), IoError);
  CHECK_THROWS_WITH_AS(fails("ab\xff\n", "length: 3")(),
                       doctest::Contains("bad: tokenizer: a text is UTF-8; got none at byte 2"), IoError);
  CHECK_THROWS_WITH_AS(fails("{}", "fields: {text: a}, separator: '%'")(), doctest::Contains("no `separator`"),
                       ConfigError);
}

TEST_CASE("text tokens: only the completion of a prompt is learned, from where its tokens begin to differ") {
  const TemporaryFolder folder;
  // "tea" alone ends in another token than before "cher".
  const std::string lines = written(folder, "lines", R"({"q": "What is it? ", "a": "A student."}
{"q": "the tea", "a": "cher's answers"}
{"q": "The teacher", "a": ""}
)");
  const auto set = texts(lines, "fields: {prompt: q, completion: a}, length: 32");
  const Tokenizer& t = *set->tokenizer();
  REQUIRE(set->size() == 3);
  const std::vector<std::string> wholes{"What is it? A student.", "the teacher's answers", "The teacher"};
  for (std::int64_t i = 0; i < 3; ++i) {
    const TokenRow& row = set->row(i);
    TokenIds all = row.prompt;
    all.insert(all.end(), row.response.begin(), row.response.end());
    TokenIds want = t.encode(wholes[static_cast<std::size_t>(i)], false);
    want.push_back(set->end());
    CHECK(all == want);
  }
  CHECK(t.decode(set->row(1).prompt) == "the");
  CHECK(t.decode(set->row(1).response) == " teacher's answers");
  CHECK(set->row(2).response == TokenIds{0});
  CHECK(set->width() <= 32);
  const auto cut = texts(lines, "fields: {prompt: q, completion: a}, length: 8, long: skip");
  CHECK(cut->width() == 8);
  CHECK_THROWS_WITH_AS(texts(lines, "fields: {prompt: q, completion: a}, length: 2"),
                       doctest::Contains("lines:1 alone has"), ConfigError);
  const std::string empty = written(folder, "empty", "{\"q\": \"\", \"a\": \"x\"}\n");
  CHECK_THROWS_WITH_AS(texts(empty, "fields: {prompt: q, completion: a}"),
                       doctest::Contains("empty:1: the prompt has no token"), IoError);
  CHECK_THROWS_AS(texts(lines, "fields: {prompt: q, completion: a}, pack: true"), ConfigError);
}

TEST_CASE("text tokens: rows of one prompt are in one split") {
  const TemporaryFolder folder;
  std::string content;
  for (int i = 0; i < 200; ++i)
    for (const char* answer : {"one", "two", "two"})
      content += fmt::format("{{\"q\": \"prompt {}\", \"a\": \" {}\"}}\n", i, answer);
  const std::string lines = written(folder, "lines", content);
  std::int64_t rows = 0;
  for (const char* split : {"train", "valid", "test"}) {
    Config node = Config::parse(
        fmt::format(
            "data: {{kind: text, files: ['{}'], fields: {{prompt: q, completion: a}}, split: {}, held_out: .2}}", lines,
            split),
        "job");
    const auto set = make_token_set(node.child("data"));
    node.check_all_read();
    std::map<TokenIds, int> prompts;
    for (std::int64_t i = 0; i < set->size(); ++i) ++prompts[set->row(i).prompt];
    for (const auto& [prompt, count] : prompts) CHECK(count == 2);  // the copy is left out
    CHECK(set->bytes() == 256);                                     // without a tokenizer tokens are bytes
    rows += set->size();
  }
  CHECK(rows == 400);
}

TEST_CASE("text tokens: a job trains, judges and writes with a tokenizer") {
  const TemporaryFolder folder;
  const std::string root = RETORT_SOURCE_ROOT;
  const std::string text = "{kind: text, files: ['" + root + "/docs/*.md', '" + root + "/README.md'], tokenizer: '" +
                           tokenizer_file("gpt2.json") +
                           "', end: <|endoftext|>, vocab: 424, held_out: .1, length: 32, ";
  std::string pairs;
  for (int i = 0; i < 40; ++i)
    pairs += fmt::format("{{\"prompt\": \"{} and {} are\", \"completion\": \" {}\"}}\n", i, i, 2 * i);
  const std::string sums = written(folder, "sums", pairs);
  const std::string asked =
      "{kind: text, files: ['" + sums + "'], tokenizer: '" + tokenizer_file("gpt2.gguf") +
      "', end: <|endoftext|>, vocab: 424, fields: {prompt: prompt, completion: completion}, held_out: .1}";
  for (const std::string& train : {text + "pack: true}", asked}) {
    const auto file = find_job("text_teacher");
    const Config config = read_job(
        file,
        {"job.output_dir=" + folder.path(), "job.name=" + std::string(train == asked ? "pairs" : "prose"),
         "data={train: " + train + ", test: " + text + "split: test}, prompts: " + text + "split: test, prompt: 8}}",
         "models.student.arch=llama(context=128 width=16 depth=1 heads=2 hidden=32 head=tied)", "run.steps=6",
         "sources.text.batch=4", "eval.every=0", "eval.prompts.count=3", "run.log_every=1", "run.save_every=0"});
    Job job = build_job(config, file, kCpu);
    RunFolder run = RunFolder::create(job.folder, {job.raw, job.resolved, "test", "{}"});
    const RunResult result = run_job(job, run, {});
    CHECK(result.finished);
    const Evaluation& e = result.evaluations.at(0).second;
    CHECK(e.text->bits_per_byte > 1);
    CHECK(e.text->bits_per_byte < e.cross_entropy / std::log(2.0));  // a token is more than a byte
    REQUIRE(e.text->shown.size() == 3);
    CHECK(e.text->shown[0].prompt.starts_with(kMark));
    CHECK(e.text->shown[0].prompt.size() >= kMark.size() + 7);  // seven tokens behind the mark
  }
}

TEST_CASE("text tokens: what has no text is shown as a number, what cannot be printed by its code") {
  const TemporaryFolder folder;
  const auto set = texts(written(folder, "book", kBook), "vocab: 500, length: 6");
  const Tokenizer& t = *set->tokenizer();
  TokenIds ids = t.encode("naïve\x01\n", false);
  ids.insert(ids.end(), {450, 0});
  CHECK(spell(*set, ids) == "naïve\\x01\n<450><|endoftext|>");
}
