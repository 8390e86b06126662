#include "distill/data/text_coder.h"

#include "io/tokenizer.h"
#include "tensor/error.h"

namespace retort {
namespace {
std::int64_t mark_named(Config& at, const Tokenizer& tokenizer) {
  const auto name = at.as<std::string>();
  const auto id = tokenizer.id_of(name);
  if (!id) at.fail(fmt::format("the tokenizer has no token \"{}\"", name));
  return *id;
}
}  // namespace

TextCoder::TextCoder(Config& c) {
  if (!c.has("tokenizer")) return;
  tokenizer_ = std::make_shared<const Tokenizer>(open_tokenizer(c.get<std::string>("tokenizer")));
  if (!c.has("end")) c.fail("name the token that ends a text, as in `end: <|endoftext|>`");
  end_ = mark_named(c.child("end"), *tokenizer_);
  if (c.has("begin")) begin_ = mark_named(c.child("begin"), *tokenizer_);
  vocab_ = c.get_int("vocab", tokenizer_->vocab_size(), {.min = tokenizer_->vocab_size()});
}

TokenIds TextCoder::encode(const std::string& text, const std::string& where) const {
  if (!tokenizer_) {
    TokenIds ids;
    for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
    return ids;
  }
  try {
    return tokenizer_->encode(text, false);
  } catch (const ValueError& error) {
    throw IoError("{}: {}", where, error.what());
  }
}

std::shared_ptr<TokenSet> TextCoder::make_set(std::vector<TokenRow> rows) const {
  auto set = std::make_shared<TokenSet>(vocab_, end_, std::move(rows));
  if (tokenizer_)
    set->set_tokenizer(tokenizer_);
  else
    set->set_bytes(kPassageMark);
  return set;
}

}  // namespace retort
