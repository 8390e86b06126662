// io/json.h -- JSON texts from files that nobody vouches for.
#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace retort {

/// Parses one JSON text (RFC 8259, valid UTF-8). Syntax errors, text after the value, a key given twice in one object
/// and nesting beyond `deepest` levels are IoErrors that begin with `where` and name the byte. Memory is at most a
/// small multiple of the text.
nlohmann::json parse_json(std::string_view text, const std::string& where, std::size_t deepest = 32);

}  // namespace retort
