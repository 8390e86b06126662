// tests/distill/sample_test.cpp -- talking to saved language models: batches, draws, streams of text, ends, the
// program.
#include <doctest/doctest.h>

#include <cmath>

#include "distill/convert/convert.h"
#include "distill/text/sample_texts.h"
#include "io/unicode.h"
#include "tests/distill/child.h"
#include "tests/distill/saved_lm_fixture.h"
#include "tests/io/checkpoint_fixture.h"

using namespace retort;
using namespace retort::test;
using namespace retort::testing;

namespace {
const std::vector<std::string> kPrompts{"The quick brown fox",
                                        "a",
                                        "A teacher teaches; a student learns what",
                                        "12 things",
                                        "Distillation of language models moves",
                                        "we'll see"};

std::vector<TokenIds> ids_of(const SavedLm& lm, const std::vector<std::string>& prompts) {
  std::vector<TokenIds> ids;
  for (const std::string& prompt : prompts) ids.push_back(lm.codec.encode(prompt, true));
  return ids;
}

std::vector<TokenIds> tokens_of(const std::vector<SampledText>& texts) {
  std::vector<TokenIds> all;
  for (const SampledText& t : texts) all.push_back(t.tokens);
  return all;
}

/// Token by token with whole forward passes, no cache and no padding.
TokenIds greedy_alone(const SavedLm& lm, TokenIds ids, std::int64_t count) {
  TokenIds written;
  while (static_cast<std::int64_t>(written.size()) < count) {
    Ctx ctx = lm.call();
    const auto n = static_cast<std::int64_t>(ids.size());
    const auto z = lm.decoder().logits(Tensor::of<std::int64_t>(ids, {1, n}), ctx, {}).values();
    const auto last = z.end() - 430;
    written.push_back(std::max_element(last, z.end()) - last);
    ids.push_back(written.back());
    if (written.back() == 0) break;
  }
  return written;
}

/// What a stream shows, piece by piece.
struct Shown {
  std::string text;
  bool halves = false;  ///< a piece began or ended within a character
  TextStream stream;
};
Shown shown(const LmCodec& codec, const TokenIds& ids, std::vector<std::string> stops) {
  Shown s{"", false, TextStream(codec, {}, std::move(stops))};
  const auto take = [&](const std::string& piece) {
    s.text += piece;
    s.halves = s.halves || utf8_error(piece) != std::string::npos;
  };
  for (const std::int64_t id : ids) take(s.stream.push(id));
  take(s.stream.finish());
  return s;
}
}  // namespace

TEST_CASE("sample: prompts of any lengths in a batch go on as each alone, with and without a cache") {
  for (const DType dtype : {DType::f64, DType::f32}) {
    const SavedLm lm = small_lm(dtype);
    const auto ids = ids_of(lm, kPrompts);
    SampleTextsSpec spec{.sampling = {.temperature = 0}, .max_tokens = 12};
    spec.batch = 1;
    const auto alone = tokens_of(sample_texts(lm, ids, spec));
    for (const std::int64_t batch : {2, 6}) {
      spec.batch = batch;
      CHECK(tokens_of(sample_texts(lm, ids, spec)) == alone);
    }
    for (std::size_t i = 0; i < ids.size(); ++i) CHECK(alone[i] == greedy_alone(lm, ids[i], 12));
  }
  // In 16 bits the texts need not be the same, but they are texts.
  const SavedLm low = small_lm(DType::bf16);
  CHECK(sample_texts(low, ids_of(low, kPrompts), {.sampling = {}, .max_tokens = 5}).size() == kPrompts.size());
}

TEST_CASE("sample: draws depend on seed, prompt, copy and position alone") {
  const SavedLm lm = small_lm(DType::f64);
  const auto ids = ids_of(lm, kPrompts);
  SampleTextsSpec spec{.sampling = {.temperature = 1.5, .top_k = 100}, .max_tokens = 9, .stops = {}, .copies = 3};
  const auto whole = tokens_of(sample_texts(lm, ids, spec));
  REQUIRE(whole.size() == 18);
  spec.batch = 4;
  CHECK(tokens_of(sample_texts(lm, ids, spec)) == whole);
  spec.copies = 1;
  const auto once = tokens_of(sample_texts(lm, ids, spec));
  for (std::size_t i = 0; i < ids.size(); ++i) CHECK(once[i] == whole[3 * i]);
  CHECK(whole[0] != whole[1]);
  CHECK(tokens_of(sample_texts(lm, {ids.begin(), ids.begin() + 2}, spec)) == std::vector<TokenIds>{once[0], once[1]});
  spec.copies = 1025;
  CHECK(contains(error_text<ValueError>([&] { sample_texts(lm, ids, spec); }), "1024 continuations"));
  spec.copies = 1;
  spec.seed = 2;
  CHECK(tokens_of(sample_texts(lm, ids, spec)) != once);
}

TEST_CASE("sample: a continuation ends at a mark, before a stop, or where the model reads no further") {
  SavedLm lm = small_lm(DType::f64);
  const auto ids = ids_of(lm, kPrompts);
  const SampleTextsSpec plain{.sampling = {.temperature = 0}, .max_tokens = 12};
  const auto free = sample_texts(lm, ids, plain);
  CHECK(free[0].end == TextEnd::length);
  CHECK(free[0].text == lm.codec.decode(free[0].tokens));
  // An end that comes fifth: it is the last token of its row, others go on.
  lm.ends = {free[0].tokens[4]};
  const auto marked = sample_texts(lm, ids, plain);
  CHECK(marked[0].end == TextEnd::mark);
  CHECK(marked[0].tokens ==
        TokenIds(free[0].tokens.begin(), std::find(free[0].tokens.begin(), free[0].tokens.end(), lm.ends[0]) + 1));
  CHECK(marked[0].text == lm.codec.decode(std::span(marked[0].tokens).first(marked[0].tokens.size() - 1)));
  lm.ends = {};
  SampleTextsSpec stopped = plain;
  stopped.stops = {free[0].text.substr(5, 3)};
  const auto cut = sample_texts(lm, ids, stopped);
  CHECK(cut[0].end == TextEnd::stop);
  CHECK(cut[0].text == free[0].text.substr(0, free[0].text.find(stopped.stops[0])));
  CHECK(cut[0].tokens.size() < 12);
  // 48 positions: what does not fit beside a longer neighbour is written apart and has all its room.
  SampleTextsSpec longest = plain;
  longest.max_tokens = 1000;
  const auto full = sample_texts(lm, ids, longest);
  for (std::size_t i = 0; i < ids.size(); ++i) CHECK(full[i].tokens.size() == 48 - ids[i].size() + 1);
  CHECK(contains(error_text<ValueError>([&] { sample_texts(lm, {TokenIds(49, 5)}, plain); }), "reads at most 48"));
  CHECK(contains(error_text<ValueError>([&] { sample_texts(lm, {ids[0], {}}, plain); }), "prompt 2 has no token"));
}

TEST_CASE("sample: a stream shows whole characters, and nothing of a stop or of what may become one") {
  const LmCodec codec(open_tokenizer(tokenizer_path("gpt2.json")));
  for (const std::string text : {"Größe 👍🏽 naïve 敏捷 الع", "plain words", "日本"}) {
    const TokenIds ids = codec.encode(text, false);
    REQUIRE(ids.size() > 1);
    const Shown all = shown(codec, ids, {});
    CHECK(all.text == text);
    CHECK_FALSE(all.halves);
    CHECK(shown(LmCodec(), LmCodec().encode(text, true), {}).text == text);
  }
  const TokenIds ids = codec.encode("one two three two", false);
  CHECK(shown(codec, ids, {"two"}).text == "one ");
  CHECK(shown(codec, ids, {"three", "o t"}).text == "one tw");
  CHECK(shown(codec, ids, {"twos", "two t!"}).text == "one two three two");
  TextStream held(codec, {}, {"wordless"});
  std::string before;
  for (const std::int64_t id : codec.encode("a word", false)) before += held.push(id);
  CHECK(before == "a ");
  CHECK_FALSE(held.stopped());
  CHECK(held.finish() == "word");
  // Half a character at the very end is shown as what it is.
  TokenIds half = codec.encode("👍", false);
  half.pop_back();
  CHECK(shown(codec, half, {}).text.ends_with("\ufffd"));
  CHECK(contains(error_text<ValueError>([&] { TextStream(codec, {}, {""}); }), "not empty"));
}

TEST_CASE("sample: truncated laws are those of sorting everything") {
  std::vector<double> z(500);
  fill_normal(std::span(z), Rng(3).stream("logits"), 0, 0);
  z[7] = z[8];
  std::vector<double> p(z.size());
  double total = 0;
  for (std::size_t i = 0; i < z.size(); ++i) total += p[i] = std::exp(z[i] / .7);
  std::vector<std::size_t> order(z.size());
  for (std::size_t i = 0; i < z.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return p[a] > p[b]; });
  for (const Sampling& how : {Sampling{.7, 40, 1, 0}, Sampling{.7, 0, .9, 0}, Sampling{.7, 0, 1, .05},
                              Sampling{.7, 60, .8, .2}, Sampling{.7, 1, 1, 0}, Sampling{.7, 0, 1e-9, 0}}) {
    std::vector<double> wanted(z.size(), 0);
    double mass = 0;
    for (std::size_t i = 0; i < order.size(); ++i) {
      const double share = p[order[i]] / total;
      if (how.top_k > 0 && i >= static_cast<std::size_t>(how.top_k)) break;
      if (mass >= how.top_p || share < how.min_p * p[order[0]] / total) break;
      mass += wanted[order[i]] = share;
    }
    const std::vector<double> law = sampling_law(z, how);
    for (std::size_t i = 0; i < z.size(); ++i) CHECK(law[i] == doctest::Approx(wanted[i] / mass).epsilon(1e-9));
  }
}

TEST_CASE("sample: a checkpoint says which tokenizer it has and where texts end") {
  const TemporaryFolder folder;
  const std::string file = folder.file("model.h5");
  const auto opened = [&](const TextMap& attributes, const std::string& tokenizer = "") {
    write_lm(file, attributes);
    return open_saved_lm({.file = file, .role = "", .tokenizer = tokenizer, .dtype = DType::f32});
  };
  TextMap kept = kept_gpt2();
  kept["config.json"] = R"({"eos_token_id": 7})";
  kept["tokenizer_config.json"] =
      R"({"eos_token": {"content": "Ġthe"}, "chat_template": [{"name": "tool_use", "template": "x"}, {"name": "default", "template": "y"}]})";
  const SavedLm lm = opened(kept);
  std::vector<std::int64_t> ends{0, 7, *lm.codec.id_of("Ġthe")};
  CHECK(lm.ends == ends);
  CHECK(lm.chat_template == "y");
  kept["chat_template.jinja"] = "z";
  CHECK(opened(kept).chat_template == "z");
  kept["tokenizer_config.json"] = R"({"eos_token": "nowhere"})";
  CHECK(contains(error_text<IoError>([&] { opened(kept); }), "no token \"nowhere\""));
  // The metadata of a GGUF file, as a conversion keeps them.
  TextMap gguf{{"foreign.tokenizer.chat_template", "w"}};
  const auto file_of_gguf = open_tensor_file(tokenizer_path("gpt2.gguf"));
  for (const auto& [key, value] : file_of_gguf->metadata()) gguf.emplace("foreign." + key, value);
  gguf["foreign.tokenizer.ggml.eos_token_id"] = "3";
  gguf["foreign.tokenizer.ggml.eot_token_id"] = "4";
  const SavedLm from_gguf = opened(gguf);
  CHECK(from_gguf.ends == std::vector<std::int64_t>{3, 4});
  CHECK(from_gguf.chat_template == "w");
  CHECK(from_gguf.codec.encode("The fox", false) == lm.codec.encode("The fox", false));
  CHECK(contains(error_text<IoError>([&] { opened({}); }), "hint: --tokenizer"));
  CHECK(opened({}, "bytes").ends == std::vector<std::int64_t>{256});
  CHECK(opened({}, tokenizer_path("gpt2.json")).codec.vocab_size() == 420);
  std::filesystem::copy(tokenizer_path("gpt2.json"), folder.file("tokenizer.json"));
  CHECK(opened({}).codec.vocab_size() == 420);
  write_lm(file, kept_gpt2(), "llama(vocab=100 context=8 width=8 depth=1 heads=2 kv_heads=2 hidden=8)");
  CHECK(contains(error_text<ConfigError>([&] { open_saved_lm({.file = file, .role = "", .tokenizer = ""}); }),
                 "knows 100 tokens, and the tokenizer has 420"));
  write_lm(file, kept_gpt2(), "mlp(in=4 classes=2 widths=3)");
  CHECK(contains(error_text<ConfigError>([&] { open_saved_lm({.file = file, .role = "", .tokenizer = ""}); }),
                 "no language model"));
}

TEST_CASE("sample: the program goes on from arguments, lines and standard input") {
  const TemporaryFolder folder;
  const std::string file = folder.file("model.h5");
  write_lm(file, kept_gpt2());
  const auto run = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"sample", file, "--tokens", "6", "--greedy"});
    return Child(arguments, folder.file("log")).wait();
  };
  const SavedLm lm = small_lm(DType::f32);
  const auto wanted = sample_texts(lm, ids_of(lm, kPrompts), {.sampling = {.temperature = 0}, .max_tokens = 6});
  const Ended one = run({kPrompts[0]});
  CHECK(one.exit_code == 0);
  CHECK(contains(one.output, wanted[0].text + "\n"));
  CHECK(contains(one.output, fmt::format("prompts {} tokens", lm.codec.encode(kPrompts[0], true).size())));
  write_file_atomic(folder.file("prompts"), kPrompts[0] + "\n\n" + kPrompts[1]);
  const Ended lines = run({"--file", folder.file("prompts"), "--count", "2"});
  for (const std::size_t i : {0, 1})  // greedy: both copies are the same
    CHECK(contains(lines.output,
                   fmt::format("[{0}] {1}\n{2}\n\n[{0}] {1}\n{2}\n\n", i + 1, kPrompts[i], wanted[i].text)));
  CHECK(run({"x", "--file", folder.file("prompts")}).exit_code == 2);
  CHECK(run({"x", "--top-p", "1.5"}).exit_code == 2);
  CHECK(run({"x", "--tokenizer", "bytes", "--dtype", "bf16"}).exit_code == 0);
  CHECK(run({"--file", folder.file("nowhere")}).exit_code == 3);
}

TEST_CASE("sample: a conversion keeps what stands beside the weights, and an export gives it back") {
  const TemporaryFolder folder, back;
  std::filesystem::copy(std::filesystem::path(RETORT_SOURCE_ROOT) / "tests/fixtures/formats/small.safetensors",
                        folder.file("in.safetensors"));
  const TextMap texts{
      {"tokenizer.json", "{\"version\": 1}"}, {"chat_template.jinja", "{{ x }}"}, {"tokenizer_config.json", "{}"}};
  for (const auto& [name, text] : texts) write_file_atomic(folder.file(name), text);
  ConvertSpec spec;
  spec.in = folder.file("in.safetensors");
  Conversion(spec).write(folder.file("model.h5"));
  export_safetensors(folder.file("model.h5"), back.file("out.safetensors"), {}, "");
  for (const auto& [name, text] : texts) CHECK(read_file(back.file(name)) == text);
  write_file_atomic(back.file("tokenizer.json"), "{}");
  CHECK(contains(
      error_text<IoError>([&] { export_safetensors(folder.file("model.h5"), back.file("out.safetensors"), {}, ""); }),
      "another tokenizer"));
  write_file_atomic(folder.file("tokenizer_config.json"), "{");
  CHECK(contains(error_text<IoError>([&] { Conversion(spec).write(folder.file("model.h5")); }), "bad JSON"));
}
