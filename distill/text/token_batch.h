// distill/text/token_batch.h -- a Batch of texts: how rows of tokens lie in tensors, and how they are read back.
#pragma once
#include "distill/data/token_set.h"
#include "distill/objectives/term.h"

namespace retort {

// All of it lies on the host, where texts are written and read; networks and losses take copies to where they are.
// x is i64 [n, L], prompt and response of each row, padded on the right. In `more`, f64 or i64:
//   mask [n, L]           1 where the token is of a response and counts, else 0
//   prompt_length [n]
//   answer [n, A]         what a verifier looks for, -1 behind it
//   domain, pass_rate [n]; private [n, L], 1 where the token is
//   told.NAME [n, C]      privileged contexts, -1 behind them
// and of generated responses
//   lp_old, is_weight, off_policy [n, L]   see Generated, and 1 at tokens that another than the learner wrote
//   reward, weight [n]; group [n]: rows of one prompt have one number

/// One text on its way into a batch.
struct Text {
  TokenIds prompt, response;
  const TokenRow* row = nullptr;                                     ///< answer, domain and contexts come from it
  std::vector<double> lp_old = {}, is_weight = {}, off_policy = {};  ///< by response token; empty: not generated
  bool counts = true;                                                ///< false: its mask is 0
};

/// Extents of a source's batches: they depend on its settings alone, so that all its batches join.
struct TextWidths {
  std::int64_t total = 0, answer = 1;
  std::map<std::string, std::int64_t> told;
  static TextWidths of(const TokenSet& set);
};

/// Rows that are longer than widths.total are cut. `index` are data ids, `sample` global sample indices.
Batch text_batch(const TokenSet& set, const std::vector<Text>& texts, const TextWidths& widths, const Tensor& index,
                 const Tensor& sample);
/// The same shapes on the meta device.
Batch text_batch_meta(std::int64_t rows, const TextWidths& widths, bool generated);

/// Rows of a batch as they were put in.
std::vector<Text> texts_of(const Batch& batch);
/// Values >= 0 of a padded row of ids.
TokenIds ids_in(const Tensor& padded, std::int64_t row);

/// Which positions of the batch answer for a token that counts: token t of row b is answered by position t - 1, whose
/// logits say what comes next. Packed, N of them, row by row.
struct TokenPlaces {
  Tensor row, at;  ///< i64 [N]: b and t
  Tensor token;    ///< i64 [N]: x[b, t]
  Tensor flat;     ///< i64 [N]: b L + t, into any [n, L] of the batch
  Tensor length;   ///< f64 [n]: how many each row has
  Tensor share;    ///< f64 [N]: 1 / length of its row
  std::int64_t rows = 0, width = 0;
  std::int64_t size() const { return token.shape()[0]; }
};
TokenPlaces places_of(const Batch& batch);

/// Something known of texts as a constant beside `values`: in their dtype, on their device.
Tensor beside(const Tensor& values, const Tensor& known);

/// Rows of a signal [n, L', d] at the places, [N, d]; `at` i64 [n, L] says where each token of the batch stands in what
/// the role was asked (undefined: where it stands in the batch).
Tensor pick_places(const Tensor& signal, const TokenPlaces& places, const Tensor& at);
/// Values [N] put back to [n, L], 0 elsewhere.
Tensor spread_places(const Tensor& values, const TokenPlaces& places);
/// Sum over the tokens of each row: [N] -> [n].
Tensor sum_rows(const Tensor& values, const TokenPlaces& places);
/// Values [n] of rows, or [n, L] of tokens, by place: [N], where the values lie.
Tensor by_place(const Tensor& values, const TokenPlaces& places);

/// Log-probability of each token that counts, [n, L], 0 elsewhere. `answer` is {logits} or {hidden, output matrix} of a
/// role that was asked at the batch's tokens, or at a view of them with `at`.
Tensor token_log_prob(const Tensors& answer, const Batch& batch, const Tensor& at);

}  // namespace retort
