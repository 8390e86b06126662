// distill/objectives/tables/views.h -- table `view`: the tokens of a batch in another context, for a role that is told
// more than the student.
#pragma once
#include "distill/objectives/term.h"
#include "distill/text/token_batch.h"

namespace retort {

/// The batch's texts as a role is asked about them: i64 [n, L'], and where each token that counts stands there, i64
/// [n, L] (0 elsewhere). The token at its place is the batch's own, so that both roles answer for one token, row by
/// row.
struct ViewedTexts {
  Tensor tokens, at;
};
struct TextView {
  std::function<ViewedTexts(const Batch&)> texts;
  /// What stands before the response of a row; empty for views that change the response itself.
  std::function<TokenIds(const Batch& batch, const Text& text, std::int64_t row)> context;
  /// By how much a row may grow.
  std::function<std::int64_t(const Batch&)> extra;
};

/// told(NAME at=end|start): a privileged context behind the prompt, or before it ("answer" behind it, a demonstration
/// before); revise(right wrong): prompt, response, what the verifier said (the context `right` or `wrong`, by reward),
/// and the response again, which is the copy that counts (SD-Zero); go_on: prompt, response, and what a role says next;
/// feedback(right wrong): prompt, the verifier's word, response; unprompted: of the prompt its last token alone;
/// respell(shift, vocab): token v written v + shift mod vocab, for a teacher with another vocabulary. Throws
/// ConfigError naming the nearest.
TextView make_view(const Call& call);

/// The two states "VIEW" and "VIEW/at" of a term that reads a role under a view.
std::vector<State> view_states(const std::string& name, const TextView& view);

}  // namespace retort
