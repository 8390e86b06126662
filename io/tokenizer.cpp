#include "io/tokenizer.h"

#include <algorithm>

#include "io/file.h"
#include "io/gguf.h"
#include "io/tokenizer_spm.h"
#include "io/unicode.h"
#include "tensor/error.h"

namespace retort {
namespace {

/// Cuts a text without added tokens into words and appends their tokens.
void encode_words(const TokenizerParts& parts, std::string_view text, bool leading, TokenIdList& out) {
  TextPieces pieces, next;
  pieces.add(text, leading);
  for (const auto& splitter : parts.splitters) {
    next.clear();
    for (std::size_t i = 0; i < pieces.size(); ++i) splitter->split(pieces.piece(i), pieces.leading(i), next);
    std::swap(pieces, next);
  }
  for (std::size_t i = 0; i < pieces.size(); ++i) parts.model->encode(pieces.piece(i), out);
}

TokenIdList filled(const TokenTemplate& form, const TokenIdList& ids) {
  TokenIdList out;
  for (const auto& mark : form)
    if (mark)
      out.push_back(*mark);
    else
      out.insert(out.end(), ids.begin(), ids.end());
  return out;
}

}  // namespace

Tokenizer::Tokenizer(std::unique_ptr<TokenizerParts> parts) : parts_(std::move(parts)) {}
Tokenizer::~Tokenizer() = default;
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;

std::vector<std::int64_t> Tokenizer::encode(std::string_view text, bool special) const {
  if (const std::size_t at = utf8_error(text); at != std::string_view::npos)
    throw ValueError("tokenizer: a text is UTF-8; got none at byte {} of {}", at, text.size());
  TokenIdList ids;
  for (const AddedSpan& raw : parts_->added.find(text, false)) {
    if (raw.id) {
      ids.push_back(*raw.id);
      continue;
    }
    const std::string normal = parts_->normalizer ? parts_->normalizer->apply(raw.text) : std::string(raw.text);
    for (const AddedSpan& span : parts_->added.find(normal, true)) {
      if (span.id)
        ids.push_back(*span.id);
      else
        encode_words(*parts_, span.text, raw.text.data() == text.data() && span.text.data() == normal.data(), ids);
    }
  }
  if (special)
    for (const TokenTemplate& form : parts_->templates) ids = filled(form, ids);
  return ids;
}

std::string Tokenizer::decode(std::span<const std::int64_t> ids, bool skip_special) const {
  std::vector<std::string> tokens;
  for (const std::int64_t id : ids) {
    auto text = token(id);
    if (!text) throw ValueError("tokenizer: no token has the id {}; the highest is {}", id, vocab_size() - 1);
    if (!skip_special || !is_special(id)) tokens.push_back(std::move(*text));
  }
  for (const auto& decoder : parts_->decoders) decoder->apply(tokens);
  return fmt::format("{}", fmt::join(tokens, parts_->decoders.empty() ? " " : ""));
}

std::int64_t Tokenizer::vocab_size() const { return std::max(parts_->model->vocabulary.end(), parts_->added.end()); }

std::optional<std::int64_t> Tokenizer::id_of(std::string_view token) const {
  const auto added = parts_->added.id_of(token);
  return added ? added : parts_->model->vocabulary.find(token);
}

std::optional<std::string> Tokenizer::token(std::int64_t id) const {
  if (const AddedToken* added = parts_->added.by_id(id)) return added->text;
  const std::string* token = parts_->model->vocabulary.token(id);
  return token ? std::optional(*token) : std::nullopt;
}

bool Tokenizer::is_special(std::int64_t id) const {
  const AddedToken* added = parts_->added.by_id(id);
  return added != nullptr && added->special;
}

bool Tokenizer::spells_bytes() const { return parts_->spells_bytes; }

std::int64_t Tokenizer::bytes_of(std::int64_t id) const {
  const auto text = token(id);
  if (!text || is_special(id)) return 0;
  return static_cast<std::int64_t>(from_byte_alphabet(*text).value_or(*text).size());
}

const std::string& Tokenizer::kind() const { return parts_->model->kind; }

namespace {
/// What a conversion kept: tokenizer.json, or the metadata of a GGUF file.
std::unique_ptr<TokenizerParts> kept_tokenizer(const TextMap& attributes, const std::string& where) {
  constexpr std::string_view kForeign = "foreign.";
  if (const auto text = attributes.find("tokenizer.json"); text != attributes.end())
    return read_json_tokenizer(text->second, where + ": tokenizer.json");
  TextMap metadata;
  for (const auto& [key, value] : attributes)
    if (key.starts_with(kForeign)) metadata.emplace(key.substr(kForeign.size()), value);
  if (!metadata.contains("tokenizer.ggml.model"))
    throw IoError("{}: no tokenizer was kept in this file; hint: name a tokenizer.json or a GGUF file", where);
  return read_gguf_tokenizer(metadata, where);
}
}  // namespace

Tokenizer open_tokenizer(const std::filesystem::path& path) {
  constexpr std::string_view kHdf5 = "\x89HDF\r\n\x1a\n";
  const std::string where = path.string();
  const MappedFile file(path);
  const std::string_view text(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  if (looks_like_gguf(file.bytes())) return Tokenizer(read_gguf_tokenizer(open_gguf(path)->metadata(), where));
  if (text.starts_with(kHdf5)) return Tokenizer(kept_tokenizer(open_tensor_file(path)->metadata(), where));
  if (looks_like_spm_file(text)) return Tokenizer(read_spm_file(text, where));
  return Tokenizer(read_json_tokenizer(text, where));
}

}  // namespace retort
