// distill/data/json_lines.h -- files with a JSON object on each line, of which some members are texts to learn from.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "distill/data/chat.h"

namespace retort {

struct JsonLine {
  std::string where;               ///< "FILE:LINE"
  std::vector<std::string> texts;  ///< the members asked for
};

/// The texts under `fields` of every object, in the order of the file; other members are left alone, blank lines left
/// out. Throws IoError "FILE:LINE: .." for a line that is no JSON object, or whose member is missing or no text, and
/// for a file without objects.
std::vector<JsonLine> read_json_lines(const std::filesystem::path& path, const std::vector<std::string>& fields);

struct ChatLine {
  std::string where;  ///< "FILE:LINE"
  std::vector<ChatMessage> messages;
};

/// The conversations under `field` of every object: a list of {role, content}, whose other members are left alone.
/// Throws as above, also for a message without a text.
std::vector<ChatLine> read_chat_lines(const std::filesystem::path& path, const std::string& field);

}  // namespace retort
