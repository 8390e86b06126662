// io/tokenizer_added.h -- tokens beside a vocabulary, which are found in a text before anything else happens to it.
#pragma once
#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace retort {

struct AddedToken {
  std::string text;
  std::int64_t id = 0;
  bool special = false;                 ///< a mark, left out of decoded text
  bool normalized = false;              ///< looked for in the normalised text, itself normalised
  bool single_word = false;             ///< only where no word character is beside it
  bool lstrip = false, rstrip = false;  ///< takes the white space before, behind it along
};

/// A piece of a text: a token, or what lies between tokens.
struct AddedSpan {
  std::string_view text;
  std::optional<std::int64_t> id;
};

class AddedTokens {
 public:
  /// The text of no token is empty; ids and texts are unique.
  void add(AddedToken token);
  /// To be called when all are there: `normalize` is what the tokenizer does to texts.
  void index(const std::function<std::string(std::string_view)>& normalize);

  /// Cuts a text at the tokens that are looked for in it, raw or normalised: at each place the longest.
  std::vector<AddedSpan> find(std::string_view text, bool normalized) const;

  const AddedToken* by_id(std::int64_t id) const;
  std::optional<std::int64_t> id_of(std::string_view text) const;
  std::int64_t end() const { return tokens_.empty() ? 0 : tokens_.rbegin()->first + 1; }

 private:
  /// A tree over bytes.
  class Tree {
   public:
    void add(std::string_view text, const AddedToken* token);
    /// The longest token that begins at `at`, and its bytes.
    std::pair<const AddedToken*, std::size_t> longest(std::string_view text, std::size_t at) const;
    bool empty() const { return nodes_ == 1; }

   private:
    std::unordered_map<std::uint64_t, std::uint32_t> edges_;  ///< node and byte to node
    std::unordered_map<std::uint32_t, const AddedToken*> ends_;
    std::array<bool, 256> begins_{};
    std::uint32_t nodes_ = 1;
  };
  std::map<std::int64_t, AddedToken> tokens_;
  std::map<std::string, std::int64_t, std::less<>> ids_;
  Tree raw_, normalized_;
};

}  // namespace retort
