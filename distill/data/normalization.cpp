#include "distill/data/normalization.h"

#include "tensor/error.h"

namespace retort {

namespace {
std::vector<float> channel_values(Config& section, const std::string& key, const std::vector<float>& fallback) {
  if (section.has(key) && section.child(key).is_scalar())
    return std::vector<float>(fallback.size(), section.get<float>(key));
  std::vector<float> values = section.get<std::vector<float>>(key, fallback);
  if (values.size() != fallback.size())
    section.child(key).fail(
        fmt::format("one number a channel; got {} for {} channels", values.size(), fallback.size()));
  return values;
}
}  // namespace

Normalization parse_normalization(Config& section, const Normalization& usual) {
  return {channel_values(section, "mean", usual.mean), channel_values(section, "std", usual.stddev)};
}

}  // namespace retort
