// distill/data/chat.h -- how conversations are written for language models: known formats as data, and which one a
// model's template asks for.
#pragma once
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/tensor_file.h"

namespace retort {

struct ChatMessage {
  std::string role;  ///< system, user or assistant
  std::string content;
};

/// What stands before and after a message of one role.
struct ChatFrame {
  std::string before, after;
};

/// A format: `begin`, then every message in its frame; a model is asked to answer by the assistant's `before`.
struct ChatFormat {
  std::string begin;
  ChatFrame system, user, assistant;
  std::string end;  ///< closes an answer and is learned with it; `assistant.after` begins with it
  std::optional<std::string> default_system;  ///< where a conversation has no message of the system
  bool trim = false;                          ///< contents lose white space at their ends
  bool system_in_user = false;                ///< it opens the first message of the user, before an empty line
};

/// The format of that name: chatml, smollm2, qwen2, qwen2.5, llama3, llama3.1, mistral, mistral-v0.1, zephyr. Throws
/// ConfigError at `where` with the nearest.
const ChatFormat& chat_format(const std::string& name, const std::string& where);
/// The name of the format that a model's Jinja template renders, told by pieces that the template must and must not
/// have: templates are not run. Throws ConfigError "WHERE: .." for one that is not known.
std::string recognised_chat(std::string_view jinja, const std::string& where);

/// A piece of a conversation's text: what an assistant says (with the end mark), or what it is told.
struct ChatPiece {
  std::string text;
  bool answer = false;
};
/// The conversation in pieces; with `ask`, the last one asks for an answer. Throws ValueError for an unknown role, a
/// message of the system that is not the first, and for turns that do not change between user and assistant.
std::vector<ChatPiece> chat_pieces(const ChatFormat& format, const std::vector<ChatMessage>& messages, bool ask);
/// The same as one text.
std::string chat_text(const ChatFormat& format, const std::vector<ChatMessage>& messages, bool ask);

/// The template among the attributes of a checkpoint, or the metadata of a GGUF: chat_template.jinja, else the one of
/// tokenizer_config.json (of several the one called default), else `tokenizer.chat_template`; "" without any.
std::string chat_template_in(const TextMap& attributes, const std::string& where);
/// The one that goes with a tokenizer: in a checkpoint or GGUF, or beside a tokenizer.json.
std::string chat_template_with(const std::filesystem::path& tokenizer);

}  // namespace retort
