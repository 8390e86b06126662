#include "distill/data/json_lines.h"

#include <algorithm>

#include "io/file.h"
#include "io/json.h"
#include "io/json_node.h"
#include "tensor/error.h"

namespace retort {

namespace {
/// Calls `use(object, "FILE:LINE")` for each line with an object.
template <class F>
void for_each_object(const std::filesystem::path& path, F&& use) {
  const std::string all = read_file(path);
  std::size_t number = 0, objects = 0;
  for (std::size_t at = 0; at < all.size();) {
    const std::size_t end = std::min(all.find('\n', at), all.size());
    const std::string_view line = std::string_view(all).substr(at, end - at);
    at = end + 1;
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const std::string where = fmt::format("{}:{}", path.string(), number);
    const nlohmann::json value = parse_json(line, where);
    use(JsonNode(value, where), where);
    ++objects;
  }
  if (objects == 0) throw IoError("{}: the file has no JSON object", path.string());
}
}  // namespace

std::vector<JsonLine> read_json_lines(const std::filesystem::path& path, const std::vector<std::string>& fields) {
  std::vector<JsonLine> lines;
  for_each_object(path, [&](const JsonNode& object, const std::string& where) {
    lines.push_back({where, {}});
    for (const std::string& field : fields) lines.back().texts.push_back(object.at(field).text());
  });
  return lines;
}

std::vector<ChatLine> read_chat_lines(const std::filesystem::path& path, const std::string& field) {
  std::vector<ChatLine> lines;
  for_each_object(path, [&](const JsonNode& object, const std::string& where) {
    lines.push_back({where, {}});
    for (const JsonNode& message : object.at(field).items())
      lines.back().messages.push_back({message.at("role").text(), message.at("content").text()});
  });
  return lines;
}

}  // namespace retort
