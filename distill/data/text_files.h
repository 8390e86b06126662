// distill/data/text_files.h -- files of text as rows of tokens: passages, a split that keeps them whole, windows.
#pragma once
#include "distill/data/text_coder.h"

namespace retort {

/// Pieces of a text between lines that are `separator` (empty: blank lines; white space at a line's end is not looked
/// at), without white space at their ends; pieces of white space are left out. Overstriking (a character, a backspace)
/// is taken off.
std::vector<std::string> passages_in(const std::string& text, const std::string& separator);

enum class TextSplit : std::uint8_t { train, valid, test };
/// Where a passage belongs: a share `held_out` of all passages is test and as many are valid, by a hash of the
/// passage's letters and digits in lower case, so that copies with other punctuation, case or line breaks stay
/// together.
TextSplit split_of(const std::string& passage, double held_out);

/// Texts from the `data` section of a job, as bytes or as the tokens of a tokenizer (distill/data/text_coder.h):
///
///     {kind: text, package: fortunes | files: [path or glob, ..], separator: "", split: train | valid | test,
///      held_out: .05, prompt: 1, length: 128, pack: false, tokenizer: FILE, end: TOKEN, begin: TOKEN, vocab: n}
///     {.. files: [..], fields: {text: NAME} ..}                       # JSON lines: a passage each
///     {.. files: [..], fields: {prompt: NAME, completion: NAME}, length: 128, long: refuse | skip ..}   # a row each
///     {.. files: [..], fields: {messages: NAME}, chat: FORMAT | auto, length: 128, long: refuse | skip ..}
///
/// Of passages that differ in punctuation, case or line breaks alone the first is kept. Each passage between two marks
/// (with `pack` all of a split as one text, a mark between them) is cut into rows of `length` tokens of which `prompt`
/// are the prompt; the next row's prompt is the last `prompt` tokens of this one, so that every token but the very
/// first `prompt` is in one response. Rows and their order depend on the files alone.
///
/// A prompt and its completion become tokens together: the prompt of the row is what these have in common with the
/// tokens of the prompt alone, so that a token across the border is learned. The row ends with the end mark, or is cut
/// at `length`; where the prompt alone is as long, `long` says what happens. Rows of one prompt are in one split. Empty
/// texts are left out.
///
/// `messages` are conversations [{role, content}, ..], written in a format of distill/data/chat.h (`auto`: the one that
/// came with the tokenizer). Each answer is a row of its own, cut like a completion, with all before it as the prompt:
/// of the whole text answers and their end marks are learned, each once.
///
/// Throws IoError for a file that is missing, has no passage, or is no plain text (the error names the package to
/// install); ConfigError at the key for a split without passages, a prompt as long as the longest passage, or rows
/// longer than it.
std::shared_ptr<TokenSet> make_text_set(Config& config);

}  // namespace retort
