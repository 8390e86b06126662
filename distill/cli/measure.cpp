// distill/cli/measure.cpp -- retort eval of a language model's checkpoint on texts.
#include "distill/cli/commands.h"
#include "distill/text/perplexity.h"
#include "tensor/error.h"

namespace retort::cli {

int eval_texts(const EvalTextsOptions& options) {
  const SavedLm lm =
      open_saved_lm({options.checkpoint, options.role, options.tokenizer, dtype_from_name(options.dtype)});
  const ChatFormat* format = nullptr;
  if (!options.chat.empty() && options.chat != "none")
    format =
        &chat_format(options.chat == "auto" ? recognised_chat(lm.chat_template, lm.where) : options.chat, "--chat");
  const auto texts = measured_file(lm.codec, options.data, format);
  fmt::print("{}\n", measure_texts(lm, texts, {options.window, options.stride}).str());
  return 0;
}

}  // namespace retort::cli
