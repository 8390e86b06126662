#include "distill/text/lm_codec.h"

#include <algorithm>

#include "distill/data/text_coder.h"
#include "io/unicode.h"
#include "tensor/error.h"

namespace retort {

TokenIds LmCodec::encode(std::string_view text, bool special) const {
  if (tokenizer_) return tokenizer_->encode(text, special);
  TokenIds ids;
  if (special) ids.push_back(kPassageMark);
  for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
  return ids;
}

std::string LmCodec::decode(std::span<const std::int64_t> ids) const {
  if (!tokenizer_) {
    std::string bytes;
    for (const std::int64_t id : ids)
      if (id < kPassageMark) bytes += static_cast<char>(id);
    return replace_malformed_utf8(bytes);
  }
  // A model's table may have more rows than there are tokens.
  TokenIds known;
  std::copy_if(ids.begin(), ids.end(), std::back_inserter(known),
               [&](std::int64_t id) { return tokenizer_->token(id).has_value(); });
  return tokenizer_->decode(known);
}

std::int64_t LmCodec::vocab_size() const { return tokenizer_ ? tokenizer_->vocab_size() : kPassageMark + 1; }

std::optional<std::int64_t> LmCodec::id_of(std::string_view token) const {
  return tokenizer_ ? tokenizer_->id_of(token) : std::nullopt;
}

bool LmCodec::is_special(std::int64_t id) const { return tokenizer_ ? tokenizer_->is_special(id) : id >= kPassageMark; }

TextStream::TextStream(const LmCodec& codec, TokenIds prompt, std::vector<std::string> stops)
    : codec_(codec), ids_(std::move(prompt)), stops_(std::move(stops)), read_(ids_.size()) {
  if (std::any_of(stops_.begin(), stops_.end(), [](const std::string& s) { return s.empty(); }))
    throw ValueError("text_stream: a text that stops is not empty");
}

std::string TextStream::push(std::int64_t token) {
  if (stopped_) return {};
  ids_.push_back(token);
  // A few tokens before are decoded too: some decoders treat the first token of a text in their own way.
  const auto all = std::span(ids_).subspan(from_);
  const std::string text = codec_.decode(all);
  if (text.ends_with("\ufffd")) return {};
  const std::size_t seen = codec_.decode(all.first(read_ - from_)).size();
  held_ += text.substr(std::min(seen, text.size()));
  from_ = read_;
  read_ = ids_.size();
  return release(false);
}

std::string TextStream::finish() {
  if (stopped_) return {};
  const auto all = std::span(ids_).subspan(from_);
  const std::string text = codec_.decode(all);
  held_ += text.substr(std::min(codec_.decode(all.first(read_ - from_)).size(), text.size()));
  return release(true);
}

/// Takes from what is held all that is no beginning of a stop.
std::string TextStream::release(bool last) {
  std::size_t end = held_.size();
  for (const std::string& stop : stops_)
    if (const std::size_t at = held_.find(stop); at < end) {
      end = at;
      stopped_ = true;
    }
  if (!stopped_ && !last)
    for (const std::string& stop : stops_)
      for (std::size_t n = std::min(stop.size() - 1, held_.size()); n > 0; --n)
        if (held_.ends_with(std::string_view(stop).substr(0, n))) {
          end = std::min(end, held_.size() - n);
          break;
        }
  std::string shown = held_.substr(0, end);
  held_.erase(0, stopped_ ? held_.size() : end);
  return shown;
}

}  // namespace retort
