// io/tokenizer_json.cpp -- tokenizer.json of Hugging Face's tokenizers: the sections and how they hang together.
#include "io/json.h"
#include "io/tokenizer_parts.h"
#include "tensor/error.h"

namespace retort {
namespace {

/// How text is cut or padded is for its reader to say; the sections are looked at all the same.
void check_cutting(const JsonNode& root) {
  if (const auto cut = root.find("truncation")) cut->only({"direction", "max_length", "strategy", "stride"});
  if (const auto pad = root.find("padding"))
    pad->only({"strategy", "direction", "pad_to_multiple_of", "pad_id", "pad_type_id", "pad_token"});
}

AddedTokens read_added(const JsonNode& at, const Vocabulary& vocabulary) {
  AddedTokens all;
  for (const JsonNode& entry : at.items()) {
    entry.only({"id", "content", "single_word", "lstrip", "rstrip", "normalized", "special"});
    AddedToken token;
    token.text = entry.at("content").text();
    token.id = entry.at("id").integer(0, INT32_MAX);
    token.special = entry.at("special").flag();
    token.normalized = entry.at("normalized").flag();
    token.single_word = entry.at("single_word").flag();
    token.lstrip = entry.at("lstrip").flag();
    token.rstrip = entry.at("rstrip").flag();
    if (token.text.empty()) entry.at("content").fail("an added token has no text");
    if (const auto id = vocabulary.find(token.text); id && *id != token.id)
      entry.at("id").fail(fmt::format("\"{}\" has the id {} in the vocabulary; got {}", token.text, *id, token.id));
    if (const std::string* other = vocabulary.token(token.id); other != nullptr && *other != token.text)
      entry.at("id").fail(fmt::format("{} is the id of \"{}\"", token.id, *other));
    if (all.by_id(token.id) != nullptr)
      entry.at("id").fail(fmt::format("{} is the id of another added token", token.id));
    if (all.id_of(token.text)) entry.at("content").fail(fmt::format("\"{}\" is added twice", token.text));
    all.add(std::move(token));
  }
  return all;
}

/// Reads post-processors as ids around a text.
class TemplateReader {
 public:
  explicit TemplateReader(const TokenizerParts& parts) : parts_(parts) {}

  void read(const JsonNode& at, std::vector<TokenTemplate>& out) const {
    const std::string type = at.at("type").text();
    if (type == "Sequence") {
      at.only({"type", "processors"});
      for (const JsonNode& part : at.at("processors").items()) read(part, out);
    } else if (type == "TemplateProcessing") {
      out.push_back(read_template(at));
    } else if (type == "BertProcessing") {
      at.only({"type", "sep", "cls"});
      out.push_back({mark(at.at("cls")), std::nullopt, mark(at.at("sep"))});
    } else if (type == "RobertaProcessing") {
      at.only({"type", "sep", "cls", "trim_offsets", "add_prefix_space"});  // the last two change offsets alone
      out.push_back({mark(at.at("cls")), std::nullopt, mark(at.at("sep"))});
    } else if (type == "ByteLevel") {
      at.only({"type", "add_prefix_space", "trim_offsets", "use_regex"});  // it changes offsets alone
    } else {
      at.at("type").fail(fmt::format("post-processor \"{}\" is not supported", type));
    }
  }

 private:
  /// An id that has a token.
  std::int64_t known(const JsonNode& at) const {
    const std::int64_t id = at.integer(0, INT32_MAX);
    if (parts_.added.by_id(id) == nullptr && parts_.model->vocabulary.token(id) == nullptr)
      at.fail(fmt::format("no token has the id {}", id));
    return id;
  }
  /// ["[SEP]", 102].
  std::int64_t mark(const JsonNode& at) const {
    if (at.items().size() != 2) at.fail("[token, id] is wanted");
    at.item(0).text();
    return known(at.item(1));
  }

  /// Pieces of one text; those of pairs are only looked at.
  TokenTemplate read_template(const JsonNode& at) const {
    at.only({"type", "single", "pair", "special_tokens"});
    const JsonNode marks = at.at("special_tokens");
    read_pieces(at.at("pair"), marks, true);
    return read_pieces(at.at("single"), marks, false);
  }

  TokenTemplate read_pieces(const JsonNode& at, const JsonNode& marks, bool pair) const {
    TokenTemplate form;
    int texts = 0;
    for (const JsonNode& piece : at.items()) {
      piece.only({"Sequence", "SpecialToken"});
      if (piece.value().size() != 1) piece.fail("one of Sequence and SpecialToken is wanted");
      const bool is_text = piece.value().contains("Sequence");
      const JsonNode inside = piece.at(is_text ? "Sequence" : "SpecialToken");
      inside.only({"id", "type_id"});
      const std::string name = inside.at("id").text();
      if (!is_text) {
        const JsonNode entry = marks.at(name);
        entry.only({"id", "ids", "tokens"});
        for (const JsonNode& id : entry.at("ids").items()) form.emplace_back(known(id));
        continue;
      }
      if (name != "A" && !(pair && name == "B")) inside.at("id").fail(fmt::format("unknown text \"{}\"", name));
      form.emplace_back(std::nullopt);
      ++texts;
    }
    if (!pair && texts != 1) at.fail(fmt::format("the text stands in it once; got {} times", texts));
    return form;
  }

  const TokenizerParts& parts_;
};

}  // namespace

std::unique_ptr<TokenModel> read_token_model(const JsonNode& at) {
  const std::string type = at.at("type").text();
  if (type == "BPE") return read_bpe(at);
  if (type == "WordPiece") return read_wordpiece(at);
  if (type == "Unigram") return read_unigram(at);
  at.at("type").fail(fmt::format("model \"{}\" is not supported; known are BPE WordPiece Unigram", type));
}

std::unique_ptr<TokenizerParts> read_json_tokenizer(std::string_view text, const std::string& where) {
  const nlohmann::json whole = parse_json(text, where);
  const JsonNode root(whole, where);
  root.only({"version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer", "post_processor",
             "decoder", "model"});
  if (root.at("version").text() != "1.0") root.at("version").fail("only 1.0 is known");
  check_cutting(root);
  auto parts = std::make_unique<TokenizerParts>();
  parts->model = read_token_model(root.at("model"));
  if (const auto at = root.find("added_tokens")) parts->added = read_added(*at, parts->model->vocabulary);
  if (const auto at = root.find("normalizer")) parts->normalizer = read_normalizer(*at);
  if (const auto at = root.find("pre_tokenizer")) read_splitters(*at, parts->splitters);
  if (const auto at = root.find("decoder")) {
    read_decoders(*at, parts->decoders);
    parts->spells_bytes = at->at("type").text() == "ByteLevel";
  }
  if (const auto at = root.find("post_processor")) TemplateReader(*parts).read(*at, parts->templates);
  parts->added.index(
      [&](std::string_view token) { return parts->normalizer ? parts->normalizer->apply(token) : std::string(token); });
  return parts;
}

}  // namespace retort
