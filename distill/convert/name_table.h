// distill/convert/name_table.h -- the names that other programs give to tensors, and ours: a small table of rules; and
// which of their matrices lie in another order.
#pragma once
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "distill/convert/reorder.h"
#include "distill/train/config.h"

namespace retort {

/// A pattern over names: `*` stands for one or more characters without '.' and '/', `**` (at most one) for any run.
/// "model.layers.*.mlp.**" matches "model.layers.7.mlp.gate.weight" and captures "7" and "gate.weight".
class NamePattern {
 public:
  /// Throws ValueError when there are two `**`, or two wildcards with nothing between them.
  explicit NamePattern(std::string_view text);

  /// What the wildcards stand for, in order; nothing when the name does not match. The shortest captures from the left.
  std::optional<std::vector<std::string>> match(std::string_view name) const;
  /// The name with these in the wildcards' places.
  std::string fill(const std::vector<std::string>& captures) const;
  /// The wildcards alone, in order: "* **".
  std::string wildcards() const;
  const std::string& text() const { return text_; }

 private:
  /// A wildcard ("*", "**") or a piece of text.
  struct Part {
    std::string text;
    bool wild;
  };
  bool match_from(std::size_t part, std::string_view rest, std::vector<std::string>& captures,
                  std::vector<bool>& failed) const;

  std::string text_;
  std::vector<Part> parts_;
};

/// Reads as
///
///     rename:                       # the first rule that matches makes the name; a name without one stays as it is
///       - {from: "model.layers.*.self_attn.q_proj.*", to: "blocks.*.attn.q.*"}
///       - {from: "model.**", to: "**"}
///     drop: ["**.rotary_emb.inv_freq"]                                # left out on purpose
///     tied: [{name: lm_head.weight, same_as: model.embed_tokens.weight}]  # a copy, which must be the same bits
///     transpose: ["h.*.attn.c_attn.weight"]                               # [in, out] there
///     interleaved: [{name: "blk.*.attn_q.*", head: 64}]                   # rows of rotary pairs (reorder.h)
///     squeeze: [{name: cls_token, axes: 2}]                               # leading axes of extent 1 there
///
/// `from` and all names below `rename` are the other program's; both sides of a rule have the same wildcards in the
/// same order, so that a rule can be read backwards.
class NameTable {
 public:
  NameTable() = default;
  /// Throws ConfigError at the entry that is wrong, IoError when the file cannot be read.
  static NameTable parse(Config config);
  static NameTable read(const std::filesystem::path& file);

  std::string ours(std::string_view foreign) const;
  /// The name that `ours` makes this of. Throws ConfigError when there is none.
  std::string foreign(std::string_view ours) const;
  bool drops(std::string_view foreign) const;
  /// In which order the tensor of that name lies.
  Reorder reorder(std::string_view foreign) const;
  /// Pairs (name, same_as).
  const std::vector<std::pair<std::string, std::string>>& tied() const { return tied_; }
  /// The table as YAML, from which it can be read again; "" for a table without anything.
  const std::string& text() const { return text_; }

 private:
  struct Rule {
    NamePattern from, to;
  };
  std::vector<Rule> rules_;
  std::vector<NamePattern> drops_, transposed_;
  std::vector<std::pair<NamePattern, std::int64_t>> interleaved_, squeezed_;  ///< with the head, with the axes
  std::vector<std::pair<std::string, std::string>> tied_;
  std::string text_;
};

}  // namespace retort
