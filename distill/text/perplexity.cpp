#include "distill/text/perplexity.h"

#include <algorithm>
#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/index.h"
#include "autograd/ops/linalg.h"
#include "autograd/ops/losses.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "distill/data/json_lines.h"
#include "io/file.h"
#include "tensor/error.h"

namespace retort {

namespace {
constexpr std::int64_t kWidest = 1024;  ///< a window, unless more is asked for
constexpr std::int64_t kPiece = 128;    ///< positions whose logits are held at a time

PerplexitySpec resolved(PerplexitySpec spec, std::int64_t context) {
  if (spec.window == 0) spec.window = std::min(context, kWidest);
  if (spec.stride == 0) spec.stride = std::max<std::int64_t>(1, spec.window / 2);
  if (spec.window < 2 || spec.window > context)
    throw ConfigError("perplexity: a window has from 2 to the {} tokens that the model reads; got {}", context,
                      spec.window);
  if (spec.stride >= spec.window)
    throw ConfigError("perplexity: the stride is below the window of {} tokens, so that each is foretold; got {}",
                      spec.window, spec.stride);
  return spec;
}

/// Summed cross-entropy of the tokens at `at` of a window.
double nats_of(const SavedLm& lm, std::span<const std::int64_t> window, const std::vector<std::int64_t>& at) {
  Ctx ctx = lm.call();
  const auto width = static_cast<std::int64_t>(window.size());
  const Tensor states =
      select(lm.decoder().hidden(Tensor::of<std::int64_t>({window.begin(), window.end()}, {1, width}), ctx), 0, 0);
  const Tensor head = lm.decoder().head_weight(ctx);
  double nats = 0;
  for (std::size_t first = 0; first < at.size(); first += kPiece) {
    std::vector<std::int64_t> rows, tokens;
    for (std::size_t i = first; i < std::min(at.size(), first + kPiece); ++i) {
      rows.push_back(at[i] - 1);
      tokens.push_back(window[static_cast<std::size_t>(at[i])]);
    }
    const auto n = static_cast<std::int64_t>(rows.size());
    Tensor z = linear(index_select(states, 0, Tensor::of<std::int64_t>(rows, {n})), head);
    if (z.dtype() != DType::f64) z = cast(z, DType::f32);
    nats += sum(cast(cross_entropy(z, Tensor::of<std::int64_t>(tokens, {n})), DType::f64)).item();
  }
  return nats;
}
}  // namespace

std::string Perplexity::str() const {
  const double mean = nats / static_cast<double>(tokens);
  std::string text = fmt::format("perplexity {:.4f}, cross-entropy {:.4f} nats a token", std::exp(mean), mean);
  if (bytes > 0) text += fmt::format(", bits per byte {:.4f}", nats / std::log(2.0) / static_cast<double>(bytes));
  return text + fmt::format(" ({} tokens, {} bytes; windows of {} tokens, {} apart)", tokens, bytes, window, stride);
}

Perplexity measure_texts(const SavedLm& lm, const std::vector<MeasuredText>& texts, const PerplexitySpec& asked) {
  const PerplexitySpec spec = resolved(asked, lm.context());
  Perplexity sum{.window = spec.window, .stride = spec.stride};
  for (const MeasuredText& text : texts) {
    const auto length = static_cast<std::int64_t>(text.ids.size());
    sum.bytes += text.bytes;
    for (std::int64_t begin = 0, done = 1; done < length; begin += spec.stride) {
      const std::int64_t end = std::min(begin + spec.window, length);
      std::vector<std::int64_t> at;
      for (std::int64_t i = done; i < end; ++i)
        if (text.counts.empty() || text.counts[static_cast<std::size_t>(i)]) at.push_back(i - begin);
      done = end;
      sum.tokens += static_cast<std::int64_t>(at.size());
      if (!at.empty())
        sum.nats += nats_of(
            lm, std::span(text.ids).subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin)),
            at);
    }
  }
  if (sum.tokens == 0) throw ValueError("perplexity: no token of the texts is to be foretold");
  return sum;
}

MeasuredText measured_text(const LmCodec& codec, const std::string& text) {
  MeasuredText m{codec.encode(text, true), {}, static_cast<std::int64_t>(text.size())};
  if (!m.ids.empty()) m.bytes -= static_cast<std::int64_t>(codec.decode(std::span(m.ids).first(1)).size());
  return m;
}

MeasuredText measured_chat(const LmCodec& codec, const ChatFormat& format, const std::vector<ChatMessage>& messages) {
  MeasuredText m;
  std::string told;
  for (const ChatPiece& piece : chat_pieces(format, messages, false)) {
    const TokenIds before = codec.encode(told, false);
    told += piece.text;
    TokenIds whole = codec.encode(told, false);
    const auto border = std::mismatch(before.begin(), before.end(), whole.begin(), whole.end()).second - whole.begin();
    // A token across the border belongs to what follows it.
    m.counts.resize(static_cast<std::size_t>(border));
    m.counts.resize(whole.size(), piece.answer);
    m.ids = std::move(whole);
    if (piece.answer) m.bytes += static_cast<std::int64_t>(piece.text.size() - format.end.size());
  }
  return m;
}

std::vector<MeasuredText> measured_file(const LmCodec& codec, const std::filesystem::path& path,
                                        const ChatFormat* format) {
  std::vector<MeasuredText> texts;
  const auto at = [](const std::string& where, auto&& make) {
    try {
      return make();
    } catch (const ValueError& error) {
      throw IoError("{}: {}", where, error.what());
    }
  };
  if (format != nullptr) {
    for (const ChatLine& line : read_chat_lines(path, "messages"))
      texts.push_back(at(line.where, [&] { return measured_chat(codec, *format, line.messages); }));
  } else if (path.extension() == ".jsonl") {
    for (const JsonLine& line : read_json_lines(path, {"text"}))
      texts.push_back(at(line.where, [&] { return measured_text(codec, line.texts[0]); }));
  } else {
    texts.push_back(at(path.string(), [&] { return measured_text(codec, read_file(path)); }));
  }
  return texts;
}

}  // namespace retort
