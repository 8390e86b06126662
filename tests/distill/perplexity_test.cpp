// tests/distill/perplexity_test.cpp -- cross-entropy of texts by windows, against transformers and by hand.
#include "distill/text/perplexity.h"

#include <doctest/doctest.h>

#include <cmath>

#include "tests/distill/child.h"
#include "tests/distill/saved_lm_fixture.h"
#include "tests/io/checkpoint_fixture.h"
#include "tests/nn/reference.h"

using namespace retort;
using namespace retort::test;
using namespace retort::testing;

namespace {
SavedLm reference_lm(DType dtype) {
  SavedLm lm;
  lm.role = std::make_unique<Role>();
  lm.role->compute = dtype;
  lm.role->model = Reference("llama").model(dtype);
  return lm;
}

/// Summed over tokens from `first` on, each foretold by all before it.
double whole_nats(const SavedLm& lm, const TokenIds& ids, std::size_t first) {
  Ctx ctx = lm.call();
  const auto n = static_cast<std::int64_t>(ids.size());
  const Tensor logits = lm.decoder().logits(Tensor::of<std::int64_t>(ids, {1, n}), ctx, {});
  const auto vocab = static_cast<std::size_t>(logits.size(2));
  const std::vector<double> z = logits.values();
  double nats = 0;
  for (std::size_t t = first; t < ids.size(); ++t) {
    const auto row = std::span(z).subspan((t - 1) * vocab, vocab);
    double total = 0;
    for (const double v : row) total += std::exp(v);
    nats += std::log(total) - row[static_cast<std::size_t>(ids[t])];
  }
  return nats;
}
}  // namespace

TEST_CASE("perplexity: windows that slide are the reference's") {
  const auto fixture =
      nlohmann::json::parse(read_file(std::filesystem::path(RETORT_SOURCE_ROOT) / "tests/fixtures/perplexity.json"));
  const MeasuredText text{fixture.at("ids").get<TokenIds>(), {}, 40};
  for (const DType dtype : {DType::f64, DType::f32}) {
    const SavedLm lm = reference_lm(dtype);
    for (const auto& wanted : fixture.at("cases")) {
      const Perplexity p = measure_texts(lm, {text}, {wanted.at("window"), wanted.at("stride")});
      CHECK(p.tokens == wanted.at("tokens"));
      CHECK(p.nats == doctest::Approx(wanted.at("nats").get<double>()).epsilon(dtype == DType::f64 ? 1e-12 : 1e-6));
    }
  }
  const SavedLm lm = reference_lm(DType::f64);
  const Perplexity p = measure_texts(lm, {text, text}, {});
  CHECK(p.window == 16);
  CHECK(p.stride == 8);
  CHECK(p.tokens == 120);
  CHECK(p.nats == doctest::Approx(2 * fixture.at("cases")[0].at("nats").get<double>()));
  CHECK(contains(p.str(), fmt::format("bits per byte {:.4f}", p.nats / std::log(2.0) / 80)));
  CHECK(
      contains(p.str(), fmt::format("perplexity {:.4f}, cross-entropy {:.4f}", std::exp(p.nats / 120), p.nats / 120)));
  CHECK(contains(error_text<ConfigError>([&] { measure_texts(lm, {text}, {17, 4}); }), "the 16 tokens"));
  CHECK(contains(error_text<ConfigError>([&] { measure_texts(lm, {text}, {16, 16}); }), "below the window"));
  CHECK(contains(error_text<ValueError>([&] { measure_texts(lm, {{{3}, {}, 0}}, {}); }), "no token"));
}

TEST_CASE("perplexity: of a text all tokens but the first count, of a conversation the answers") {
  const SavedLm lm = small_lm(DType::f64);
  const std::string line = "The teacher teaches, naïvely.";
  const MeasuredText text = measured_text(lm.codec, line);
  const Perplexity p = measure_texts(lm, {text}, {});
  CHECK(p.nats == doctest::Approx(whole_nats(lm, text.ids, 1)).epsilon(1e-12));
  CHECK(p.bytes == static_cast<std::int64_t>(line.size() - lm.codec.decode(std::span(text.ids).first(1)).size()));
  // With a mark before it, every byte of the text is foretold.
  CHECK(measured_text(LmCodec(), line).bytes == static_cast<std::int64_t>(line.size()));

  const std::vector<ChatMessage> turns{{"user", "x"}, {"assistant", "The fox"}, {"user", "y"}, {"assistant", "ok"}};
  const MeasuredText chat = measured_chat(lm.codec, chat_format("zephyr", "test"), turns);
  CHECK(lm.codec.decode(chat.ids) == chat_text(chat_format("zephyr", "test"), turns, false));
  TokenIds counted;
  for (std::size_t i = 0; i < chat.ids.size(); ++i)
    if (chat.counts[i]) counted.push_back(chat.ids[i]);
  CHECK(lm.codec.decode(counted) == "The fox</s>ok</s>");
  CHECK(chat.bytes == 9);
  const SavedLm small = small_lm(DType::f64);
  const Perplexity answers = measure_texts(small, {chat}, {.window = 48, .stride = 47});
  CHECK(answers.tokens == static_cast<std::int64_t>(counted.size()));
}

TEST_CASE("perplexity: files of texts and of lines, and the program") {
  const TemporaryFolder folder;
  const SavedLm lm = small_lm(DType::f32);
  write_file_atomic(folder.file("a.txt"), "The fox jumps.\nTwice.\n");
  write_file_atomic(folder.file("a.jsonl"), "{\"text\": \"The fox\"}\n\n{\"text\": \"jumps.\", \"id\": 3}\n");
  CHECK(lm.codec.decode(measured_file(lm.codec, folder.file("a.txt"), nullptr).at(0).ids) ==
        "The fox jumps.\nTwice.\n");
  const auto lines = measured_file(lm.codec, folder.file("a.jsonl"), nullptr);
  REQUIRE(lines.size() == 2);
  CHECK(lm.codec.decode(lines[1].ids) == "jumps.");
  write_file_atomic(folder.file("bad.txt"), "ab\xff");
  CHECK(contains(error_text<IoError>([&] { measured_file(lm.codec, folder.file("bad.txt"), nullptr); }), "bad.txt"));
  write_lm(folder.file("model.h5"), kept_gpt2());
  const auto run = [&](const std::vector<std::string>& more) {
    std::vector<std::string> arguments{"eval", folder.file("model.h5")};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return Child(arguments, folder.file("log")).wait();
  };
  const Ended plain = run({"--data", folder.file("a.txt"), "--window", "8", "--stride", "4"});
  CHECK(plain.output == measure_texts(lm, measured_file(lm.codec, folder.file("a.txt"), nullptr), {8, 4}).str() + "\n");
  CHECK(plain.exit_code == 0);
  write_file_atomic(folder.file("c.jsonl"),
                    R"({"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "fox"}]})");
  const Ended chat = run({"--data", folder.file("c.jsonl"), "--chat", "zephyr", "--dtype", "bf16"});
  CHECK(contains(chat.output, "3 bytes"));
  CHECK(run({"--data", folder.file("c.jsonl"), "--chat", "auto"}).exit_code == 2);
  CHECK(run({"--data", folder.file("a.txt"), "--window", "100"}).exit_code == 2);
  // What the one kind of evaluation knows and the other does not is refused.
  CHECK(run({"--window", "8"}).exit_code == 2);
  CHECK(run({"--data", folder.file("a.txt"), "run.device=cpu"}).exit_code == 2);
}
