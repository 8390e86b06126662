#include "distill/data/json_lines.h"

#include "io/file.h"
#include "io/json.h"
#include "io/json_node.h"
#include "tensor/error.h"

namespace retort {

std::vector<JsonLine> read_json_lines(const std::filesystem::path& path, const std::vector<std::string>& fields) {
  const std::string all = read_file(path);
  std::vector<JsonLine> lines;
  std::size_t number = 0;
  for (std::size_t at = 0; at < all.size();) {
    const std::size_t end = std::min(all.find('\n', at), all.size());
    const std::string_view line = std::string_view(all).substr(at, end - at);
    at = end + 1;
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    JsonLine read{fmt::format("{}:{}", path.string(), number), {}};
    const nlohmann::json value = parse_json(line, read.where);
    const JsonNode object(value, read.where);
    for (const std::string& field : fields) read.texts.push_back(object.at(field).text());
    lines.push_back(std::move(read));
  }
  if (lines.empty()) throw IoError("{}: the file has no JSON object", path.string());
  return lines;
}

}  // namespace retort
