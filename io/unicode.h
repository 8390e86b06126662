// io/unicode.h -- UTF-8 and the properties of characters: what tokenizers ask of Unicode.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace retort {

/// The offset of the first byte that begins no well-formed UTF-8 sequence, or npos when the whole text is well-formed.
std::size_t utf8_error(std::string_view text);
/// Each longest piece that could have begun a character but does not go on becomes one U+FFFD (Unicode 15,
/// section 3.9).
std::string replace_malformed_utf8(std::string_view bytes);

/// The character at byte `at` of well-formed text; moves `at` behind it.
char32_t next_character(std::string_view text, std::size_t& at);
void append_character(std::string& text, char32_t character);

enum class NormalForm : std::uint8_t { nfc, nfd, nfkc, nfkd };
/// The text in a normal form of Unicode (annex 15). The text is well-formed UTF-8, as in all that follows.
std::string normal_form(std::string_view text, NormalForm form);
/// In lower case, character by character: what depends on context or language is left out.
std::string lower_case(std::string_view text);
/// The end of the extended grapheme cluster (annex 29) that begins at byte `at`.
std::size_t grapheme_end(std::string_view text, std::size_t at);

bool is_space(char32_t c);        ///< White_Space
bool is_numeric(char32_t c);      ///< Nd, Nl, No
bool is_punctuation(char32_t c);  ///< P*, and all of ASCII that is neither letter, digit, space nor control
bool is_mark(char32_t c);         ///< Mn, Mc, Me
bool is_nonspacing_mark(char32_t c);
bool is_other(char32_t c);  ///< Cc, Cf, Cs, Co: controls, formats, private use
/// Letters, marks, decimal digits, connectors, joiners: \w of Unicode's technical standard 18.
bool is_word(char32_t c);

}  // namespace retort
