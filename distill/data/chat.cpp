#include "distill/data/chat.h"

#include <algorithm>
#include <map>

#include "distill/train/call.h"
#include "io/file.h"
#include "io/json.h"
#include "io/json_node.h"
#include "tensor/error.h"

namespace retort {
namespace fs = std::filesystem;

namespace {
ChatFormat chatml(std::optional<std::string> system) {
  const auto frame = [](const char* role) { return ChatFrame{fmt::format("<|im_start|>{}\n", role), "<|im_end|>\n"}; };
  return {.begin = "",
          .system = frame("system"),
          .user = frame("user"),
          .assistant = frame("assistant"),
          .end = "<|im_end|>",
          .default_system = std::move(system)};
}

/// `today` stands at the head of the system's message, which is there then.
ChatFormat llama3(const std::string& today) {
  const auto frame = [](const char* role) {
    return ChatFrame{fmt::format("<|start_header_id|>{}<|end_header_id|>\n\n", role), "<|eot_id|>"};
  };
  ChatFormat format{.begin = "<|begin_of_text|>",
                    .system = frame("system"),
                    .user = frame("user"),
                    .assistant = frame("assistant"),
                    .end = "<|eot_id|>",
                    .default_system = {},
                    .trim = true};
  if (today.empty()) return format;
  format.system.before += today;
  format.default_system = "";
  return format;
}

ChatFormat mistral(const std::string& behind) {
  return {.begin = "<s>",
          .system = {"", "\n\n"},
          .user = {"[INST] ", " [/INST]"},
          .assistant = {"", "</s>" + behind},
          .end = "</s>",
          .default_system = {},
          .trim = false,
          .system_in_user = true};
}

ChatFormat zephyr() {
  const auto frame = [](const char* role) { return ChatFrame{fmt::format("<|{}|>\n", role), "</s>\n"}; };
  return {.begin = "",
          .system = frame("system"),
          .user = frame("user"),
          .assistant = frame("assistant"),
          .end = "</s>",
          .default_system = {}};
}

const std::map<std::string, ChatFormat>& formats() {
  static const std::map<std::string, ChatFormat> table{
      {"chatml", chatml({})},
      {"smollm2", chatml("You are a helpful AI assistant named SmolLM, trained by Hugging Face")},
      {"qwen2", chatml("You are a helpful assistant.")},
      {"qwen2.5", chatml("You are Qwen, created by Alibaba Cloud. You are a helpful assistant.")},
      {"llama3", llama3("")},
      {"llama3.1", llama3("Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n")},
      {"mistral", mistral("")},
      {"mistral-v0.1", mistral(" ")},
      {"zephyr", zephyr()}};
  return table;
}

/// What tells a template, in the order of asking, as `condensed` writes it.
struct ChatMark {
  const char* format;
  std::vector<const char*> has, lacks;
};

const std::vector<ChatMark>& chat_marks() {
  constexpr const char* im_frame = "'<|im_start|>'+message['role']+'\\n'+message['content']+'<|im_end|>'";
  constexpr const char* im_ask = "'<|im_start|>assistant\\n'";
  constexpr const char* inst_frame = "'[INST] '+message['content']+' [/INST]'";
  constexpr const char* head_frame =
      "'<|start_header_id|>'+message['role']+'<|end_header_id|>\\n\\n'+message['content']|trim+'<|eot_id|>'";
  static const std::vector<ChatMark> marks{
      {"smollm2",
       {im_frame, im_ask,
        "'<|im_start|>system\\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\\n'"},
       {"<think>"}},
      {"qwen2", {im_frame, im_ask, "'<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n'"}, {"<think>"}},
      {"qwen2.5",
       {"'<|im_start|>'+message.role+'\\n'+message.content+'<|im_end|>'", im_ask,
        "'<|im_start|>system\\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\\n'"},
       {"<think>"}},
      {"chatml", {im_frame, im_ask}, {"<think>", "system"}},
      {"llama3.1",
       {"'<|start_header_id|>system<|end_header_id|>\\n\\n'", "'Cutting Knowledge Date: December 2023\\n'",
        "26 Jul 2024", head_frame},
       {"strftime_now"}},
      {"llama3", {head_frame, "bos_token"}, {"Cutting Knowledge", "strftime_now"}},
      {"mistral-v0.1", {"bos_token", inst_frame, "{message['content']+eos_token+' '}"}, {"SYS", "TOOLS"}},
      {"mistral", {"bos_token", inst_frame, "{message['content']+eos_token}"}, {"SYS", "TOOLS"}},
      {"zephyr",
       {"'<|user|>\\n'+message['content']+eos_token", "'<|system|>\\n'+message['content']+eos_token",
        "'<|assistant|>\\n'+message['content']+eos_token", "{'<|assistant|>'}"},
       {"bos_token"}}};
  return marks;
}

/// Templates vary in white space between their words, in kinds of quotes, and in how a line end within quotes is
/// written: here there is none, ' and \n.
std::string condensed(std::string_view jinja) {
  std::string text;
  char quote = 0;
  for (const char c : jinja) {
    if ((c == '\'' || c == '"') && (quote == 0 || quote == c)) {
      quote = quote == 0 ? c : 0;
      text += '\'';
    } else if (c == '\n' && quote != 0) {
      text += "\\n";
    } else if (quote != 0 || std::string_view(" \t\r\n-").find(c) == std::string_view::npos) {
      text += c;
    }
  }
  return text;
}

std::string trimmed(const std::string& text) {
  constexpr const char* kWhite = " \t\r\n\f\v";
  const std::size_t first = text.find_first_not_of(kWhite);
  return first == std::string::npos ? "" : text.substr(first, text.find_last_not_of(kWhite) - first + 1);
}

/// The turns of user and assistant, one after the other, and the system's text before them.
struct Turns {
  std::optional<std::string> system;
  std::vector<const ChatMessage*> rest;
};
Turns turns_of(const std::vector<ChatMessage>& messages) {
  Turns turns;
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const ChatMessage& m = messages[i];
    const bool first = i == 0;
    if (m.role == "system" && !first) throw ValueError("chat: message {} is of the system, which speaks first", i + 1);
    if (m.role == "system") {
      turns.system = m.content;
      continue;
    }
    const char* expected = turns.rest.size() % 2 == 0 ? "user" : "assistant";
    if (m.role != expected)
      throw ValueError("chat: message {} is of the {} where user and assistant take turns; got \"{}\"", i + 1, expected,
                       m.role);
    turns.rest.push_back(&m);
  }
  return turns;
}
}  // namespace

const ChatFormat& chat_format(const std::string& name, const std::string& where) {
  return lookup(formats(), Call{name, {}, where}, "chat format");
}

std::string recognised_chat(std::string_view jinja, const std::string& where) {
  const std::string text = condensed(jinja);
  const auto inside = [&](const char* mark) { return text.find(mark) != std::string::npos; };
  for (const ChatMark& mark : chat_marks())
    if (std::all_of(mark.has.begin(), mark.has.end(), inside) &&
        std::none_of(mark.lacks.begin(), mark.lacks.end(), inside))
      return mark.format;
  throw ConfigError("{}: {}; hint: --chat chatml|llama3|mistral|none", where,
                    jinja.empty() ? "no chat template came with the model" : "the model's chat template is not known");
}

std::vector<ChatPiece> chat_pieces(const ChatFormat& format, const std::vector<ChatMessage>& messages, bool ask) {
  Turns turns = turns_of(messages);
  if (!turns.system) turns.system = format.default_system;
  const auto content = [&](const std::string& text) { return format.trim ? trimmed(text) : text; };
  std::string told = format.begin, opening;
  if (turns.system) {
    const std::string text = format.system.before + content(*turns.system) + format.system.after;
    (format.system_in_user ? opening : told) += text;
  }
  std::vector<ChatPiece> pieces;
  for (const ChatMessage* m : turns.rest) {
    if (m->role == "user") {
      told += format.user.before + std::exchange(opening, "") + content(m->content) + format.user.after;
      continue;
    }
    pieces.push_back({told + format.assistant.before});
    pieces.push_back({content(m->content) + format.end, true});
    told = format.assistant.after.substr(format.end.size());
  }
  if (ask) told += format.assistant.before;
  if (!told.empty()) pieces.push_back({std::move(told)});
  return pieces;
}

std::string chat_text(const ChatFormat& format, const std::vector<ChatMessage>& messages, bool ask) {
  std::string text;
  for (const ChatPiece& piece : chat_pieces(format, messages, ask)) text += piece.text;
  return text;
}

std::string chat_template_in(const TextMap& attributes, const std::string& where) {
  if (const auto own = attributes.find("chat_template.jinja"); own != attributes.end()) return own->second;
  if (const auto config = attributes.find("tokenizer_config.json"); config != attributes.end()) {
    const std::string at = where + ": tokenizer_config.json";
    const nlohmann::json json = parse_json(config->second, at);
    const auto found = JsonNode(json, at).find("chat_template");
    if (found && !found->value().is_array()) return found->text();
    if (found)
      for (const JsonNode& entry : found->items())
        if (entry.at("name").text() == "default") return entry.at("template").text();
  }
  for (const char* key : {"tokenizer.chat_template", "foreign.tokenizer.chat_template"})
    if (const auto found = attributes.find(key); found != attributes.end()) return found->second;
  return "";
}

std::string chat_template_with(const fs::path& tokenizer) {
  if (tokenizer.extension() != ".json") {
    const auto file = open_tensor_file(tokenizer);
    return chat_template_in(file->metadata(), tokenizer.string());
  }
  TextMap beside;
  for (const char* name : {"chat_template.jinja", "tokenizer_config.json"})
    if (const fs::path path = tokenizer.parent_path() / name; fs::is_regular_file(path))
      beside.emplace(name, read_file(path));
  return chat_template_in(beside, tokenizer.parent_path().string());
}

}  // namespace retort
