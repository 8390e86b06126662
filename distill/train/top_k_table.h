// distill/train/top_k_table.h -- a teacher's likeliest next tokens at every position of a set of texts, kept in a
// store.
#pragma once
#include <filesystem>

#include "distill/train/setup.h"

namespace retort {

/// `stores.NAME: {kind: top_k, of: ROLE, source: S, k: n, file: PATH}`. A row by data id, [L, 2 k]: at each position
/// the ids of the k likeliest next tokens, then their log-probabilities at temperature 1. With a file the rows are read
/// from it instead of asking the role before the first step.
struct TopKSpec {
  std::string store, role, source;
  std::int64_t k = 1;
  std::filesystem::path file;  ///< empty: none
};
/// Parses the section; its table begins as zeros. Throws ConfigError when the source is not the data's own texts.
TopKSpec parse_top_k(Config& node, const Setup& setup);
std::unique_ptr<Store> make_top_k_store(const TopKSpec& spec, const Setup& setup, DType dtype);

/// Fills the store by running the role over the set, or from the file of an earlier fill in `folder` or of the spec.
/// Throws IoError for a file of other texts, of another teacher, or with another k: all three are marked in it.
void fill_top_k(const TopKSpec& spec, Setup& setup, const std::filesystem::path& folder);
/// Where fill_top_k leaves what it worked out.
std::filesystem::path top_k_file(const TopKSpec& spec, const std::filesystem::path& folder);

}  // namespace retort
