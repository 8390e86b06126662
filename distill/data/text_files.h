// distill/data/text_files.h -- plain text files as rows of bytes: passages, a split that keeps them whole, windows.
#pragma once
#include "distill/data/token_set.h"

namespace retort {

/// The token that begins and ends every passage; those below it are bytes.
inline constexpr std::int64_t kPassageMark = 256;

/// Pieces of a text between lines that are `separator` (empty: blank lines; white space at a line's end is not looked
/// at), without white space at their ends; pieces of white space are left out. Overstriking (a character, a backspace)
/// is taken off.
std::vector<std::string> passages_in(const std::string& text, const std::string& separator);

enum class TextSplit : std::uint8_t { train, valid, test };
/// Where a passage belongs: a share `held_out` of all passages is test and as many are valid, by a hash of the
/// passage's letters and digits in lower case, so that copies with other punctuation, case or line breaks stay
/// together.
TextSplit split_of(const std::string& passage, double held_out);

/// Texts from the `data` section of a job, bytes and the mark as tokens (vocabulary 257):
///
///     {kind: text, package: fortunes | files: [path or glob, ..], separator: "", split: train | valid | test,
///      held_out: .05, prompt: 1, length: 128, pack: false}
///
/// Of passages that differ in punctuation, case or line breaks alone the first is kept. Each passage between two marks
/// (with `pack` all of a split as one text, a mark between them) is cut into rows of `length` tokens of which `prompt`
/// are the prompt; the next row's prompt is the last `prompt` tokens of this one, so that every token but the very
/// first `prompt` is in one response. Rows and their order depend on the files alone. Throws IoError for a file that is
/// missing, has no passage, or is no plain text (the error names the package to install); ConfigError at the key for a
/// split without passages, a prompt as long as the longest passage, or rows longer than it.
std::shared_ptr<TokenSet> make_text_set(Config& config);

}  // namespace retort
