// tests/distill/chat_test.cpp -- conversations against what transformers' templates write, and rows made of them.
#include "distill/data/chat.h"

#include <doctest/doctest.h>

#include "distill/data/text_files.h"
#include "tests/io/checkpoint_fixture.h"
#include "tests/io/tokenizer_fixture.h"

using namespace retort;
using namespace retort::test;
using nlohmann::json;

namespace {
json chats() { return json::parse(read_file(std::filesystem::path(RETORT_SOURCE_ROOT) / "tests/fixtures/chats.json")); }

std::vector<ChatMessage> conversation(const std::string& system, const std::vector<std::string>& turns) {
  std::vector<ChatMessage> messages;
  if (!system.empty()) messages.push_back({"system", system});
  for (std::size_t i = 0; i < turns.size(); ++i) messages.push_back({i % 2 == 0 ? "user" : "assistant", turns[i]});
  return messages;
}

std::string refusal(const std::vector<ChatMessage>& messages) {
  return error_text<ValueError>([&] { chat_text(chat_format("chatml", "test"), messages, false); });
}
}  // namespace

TEST_CASE("chat: every known template is recognised, and its texts are the reference's") {
  const json all = chats();
  std::vector<std::string> turns;
  for (const json& turn : all.at("turns")) turns.push_back(turn.at(1));
  for (const json& entry : all.at("cases")) {
    const auto name = entry.at("format").get<std::string>();
    CAPTURE(name);
    CHECK(recognised_chat(entry.at("template").get<std::string>(), "test") == name);
    for (const json& rendered : entry.at("rendered")) {
      const auto count = rendered.at("count").get<std::ptrdiff_t>();
      const auto messages =
          conversation(rendered.at("system").is_null() ? "" : rendered.at("system").get<std::string>(),
                       {turns.begin(), turns.begin() + count});
      CHECK(chat_text(chat_format(name, "test"), messages, rendered.at("ask").get<bool>()) ==
            rendered.at("text").get<std::string>());
    }
  }
}

TEST_CASE("chat: templates that say something else are not taken for one that is known") {
  const json all = chats();
  const auto changed = [&](const std::string& format, const std::string& from, const std::string& to) {
    for (const json& entry : all.at("cases")) {
      if (entry.at("format") != format) continue;
      auto text = entry.at("template").get<std::string>();
      const std::size_t at = text.find(from);
      REQUIRE(at != std::string::npos);
      return error_text<ConfigError>([&] { recognised_chat(text.replace(at, from.size(), to), "model.h5"); });
    }
    return std::string();
  };
  CHECK(
      contains(changed("smollm2", "named SmolLM", "named Smolly"), "model.h5: the model's chat template is not known"));
  CHECK(contains(changed("chatml", "'<|im_end|>'", "' <|im_end|>'"), "hint: --chat chatml|llama3|mistral|none"));
  CHECK(changed("llama3", " | trim", "") != "");
  CHECK(changed("mistral", " [/INST]", "[/INST]") != "");
  CHECK(changed("mistral", "+ eos_token", "| trim + eos_token") != "");
  CHECK(changed("qwen2.5", "{%- if add", "{{- '<think>' }}{%- if add") != "");
  CHECK(changed("zephyr", "<|system|>\n", "<|system|>") != "");
  CHECK(contains(error_text<ConfigError>([] { recognised_chat("", "model.h5"); }), "no chat template came"));
  CHECK(contains(error_text<ConfigError>([] { chat_format("chatlm", "--chat"); }), "chatml"));
}

TEST_CASE("chat: a system's text that a family has no frame for opens the first message of the user") {
  CHECK(chat_text(chat_format("mistral", "test"), conversation("Be brief.", {"Hi", "Yo", "Bye"}), true) ==
        "<s>[INST] Be brief.\n\nHi [/INST]Yo</s>[INST] Bye [/INST]");
  CHECK(contains(refusal({{"user", "a"}, {"system", "b"}}), "message 2 is of the system"));
  CHECK(contains(refusal({{"user", "a"}, {"user", "b"}}), "message 2 is of the assistant"));
  CHECK(contains(refusal({{"assistant", "a"}}), "message 1 is of the user"));
  CHECK(contains(refusal({{"user", "a"}, {"tool", "b"}}), "got \"tool\""));
}

TEST_CASE("chat: pieces are what was told and what is learned, in turn") {
  const auto pieces = chat_pieces(chat_format("chatml", "test"), conversation("S", {"a", "b", "c", "d"}), false);
  std::string learned, told;
  for (const ChatPiece& p : pieces) (p.answer ? learned : told) += p.text;
  CHECK(learned == "b<|im_end|>d<|im_end|>");
  CHECK(pieces[2].text == "\n<|im_start|>user\nc<|im_end|>\n<|im_start|>assistant\n");
  CHECK(pieces.back().text == "\n");
}

TEST_CASE("chat: a line of messages is a row for each answer, and only answers are learned") {
  const TemporaryFolder folder;
  const std::string file = folder.file("chats.jsonl");
  write_file_atomic(
      file,
      R"({"messages": [{"role": "user", "content": "The fox?"}, {"role": "assistant", "content": "A dog."}, )"
      R"({"role": "user", "content": "Why"}, {"role": "assistant", "content": "The teacher"}], "id": 1})"
      "\n"
      R"({"messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]})"
      "\n");
  const auto rows = [&](const std::string& more) {
    Config node =
        Config::parse(fmt::format("data: {{kind: text, files: [{}], fields: {{messages: messages}}, tokenizer: {}, "
                                  "end: <|endoftext|>, held_out: 1e-9, length: 400, {}}}",
                                  file, tokenizer_path("gpt2.json"), more),
                      "job");
    const auto set = make_token_set(node.child("data"));
    node.check_all_read();
    return set;
  };
  const auto set = rows("chat: chatml");
  REQUIRE(set->size() == 3);
  const auto text = [&](const TokenIds& ids) { return set->tokenizer()->decode(ids, false); };
  const std::string first = "<|im_start|>user\nThe fox?<|im_end|>\n<|im_start|>assistant\n";
  CHECK(text(set->row(0).prompt) == first);
  CHECK(text(set->row(0).response) == "A dog.<|im_end|>");
  CHECK(text(set->row(1).prompt) ==
        first + "A dog.<|im_end|>\n<|im_start|>user\nWhy<|im_end|>\n<|im_start|>assistant\n");
  CHECK(text(set->row(1).response) == "The teacher<|im_end|>");
  CHECK(text(set->row(2).prompt).starts_with("<|im_start|>system\nS<|im_end|>\n"));
  // Tokens are those of the whole text, cut where the answer begins.
  TokenIds whole = set->row(1).prompt;
  whole.insert(whole.end(), set->row(1).response.begin(), set->row(1).response.end());
  CHECK(whole == set->tokenizer()->encode(text(whole), false));
  CHECK(text(rows("chat: llama3")->row(0).response) == "A dog.<|eot_id|>");
  const auto refused = [&](const std::string& more) { return error_text<ConfigError>([&] { rows(more); }); };
  CHECK(contains(refused("chat: odd"), "odd"));
  CHECK(contains(refused("chat: auto"), "no chat template came"));
  CHECK(contains(refused("chat: chatml, separator: x"), "separator"));
  write_file_atomic(file, R"({"messages": [{"role": "user", "content": "x"}, {"role": "user", "content": "y"}]})");
  CHECK(contains(error_text<IoError>([&] { rows("chat: chatml"); }), "chats.jsonl:1: chat: message 2"));
  write_file_atomic(file, R"({"messages": [{"role": "user"}]})");
  CHECK(contains(error_text<IoError>([&] { rows("chat: chatml"); }), "chats.jsonl:1: messages[0]"));
}
