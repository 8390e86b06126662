// distill/cli/sample.cpp -- the command that lets a language model go on from prompts.
#include <algorithm>
#include <cstdio>
#include <iostream>
#include <iterator>

#include "distill/cli/commands.h"
#include "distill/data/chat.h"
#include "distill/text/sample_texts.h"
#include "io/file.h"
#include "tensor/error.h"

namespace retort::cli {
namespace {

/// From arguments, lines of a file, or standard input as one prompt.
std::vector<std::string> prompts_of(const SampleOptions& options) {
  if (!options.prompts.empty() && !options.file.empty())
    throw ConfigError("sample: prompts come from arguments or from --file {}, not from both", options.file);
  if (!options.prompts.empty()) return options.prompts;
  if (options.file.empty()) {
    std::string text{std::istreambuf_iterator<char>(std::cin), {}};
    if (text.ends_with('\n')) text.pop_back();  // which ends the line, not the text
    return {text};
  }
  std::vector<std::string> prompts;
  const std::string all = read_file(options.file);
  for (std::size_t at = 0; at < all.size();) {
    const std::size_t end = std::min(all.find('\n', at), all.size());
    if (end > at) prompts.push_back(all.substr(at, end - at));
    at = end + 1;
  }
  if (prompts.empty()) throw IoError("{}: no line to go on from", options.file);
  return prompts;
}

/// Tokens of the prompts, as they are or as questions to be answered; what closes an answer is then an end too.
std::vector<TokenIds> encoded(const std::vector<std::string>& prompts, const SampleOptions& options, SavedLm& lm) {
  std::vector<TokenIds> ids;
  const bool plain = options.chat.empty() || options.chat == "none";
  if (plain && !options.system.empty()) throw ConfigError("sample: --system goes with --chat");
  if (plain) {
    for (const std::string& prompt : prompts) ids.push_back(lm.codec.encode(prompt, true));
    return ids;
  }
  const ChatFormat& format =
      chat_format(options.chat == "auto" ? recognised_chat(lm.chat_template, lm.where) : options.chat, "--chat");
  const auto end = lm.codec.id_of(format.end);
  if (!end) throw ConfigError("--chat: the tokenizer has no token \"{}\", with which answers end", format.end);
  lm.ends.push_back(*end);
  for (const std::string& prompt : prompts) {
    std::vector<ChatMessage> messages{{"user", prompt}};
    if (!options.system.empty()) messages.insert(messages.begin(), {"system", options.system});
    ids.push_back(lm.codec.encode(chat_text(format, messages, true), false));
  }
  return ids;
}

double per_second(std::int64_t tokens, double seconds) {
  return seconds > 0 ? static_cast<double>(tokens) / seconds : 0;
}

void put(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}
}  // namespace

int sample(const SampleOptions& options) {
  SavedLm lm = open_saved_lm({options.checkpoint, options.role, options.tokenizer, dtype_from_name(options.dtype)});
  const std::vector<std::string> prompts = prompts_of(options);
  const std::vector<TokenIds> ids = encoded(prompts, options, lm);
  SampleTextsSpec spec{.sampling = options.sampling,
                       .max_tokens = options.tokens,
                       .stops = options.stops,
                       .copies = options.count,
                       .batch = options.batch,
                       .seed = options.seed};
  const bool one = prompts.size() == 1 && options.count == 1;
  if (one) spec.show = put;
  SampleCost cost;
  const std::vector<SampledText> texts = sample_texts(lm, ids, spec, &cost);
  if (one) put("\n");
  for (std::size_t i = 0; !one && i < texts.size(); ++i) {
    const std::size_t prompt = i / static_cast<std::size_t>(options.count);
    fmt::print("[{}] {}\n{}\n\n", prompt + 1, prompts[prompt], texts[i].text);
  }
  std::fflush(stdout);
  // The first token of a continuation comes of the prompt.
  const auto later = cost.tokens - static_cast<std::int64_t>(texts.size());
  fmt::print(stderr, "prompts {} tokens, {:.1f} tokens/s; generated {} tokens, {:.1f} tokens/s\n", cost.prompt_tokens,
             per_second(cost.prompt_tokens, cost.prompt_seconds), cost.tokens, per_second(later, cost.seconds));
  return 0;
}

}  // namespace retort::cli
