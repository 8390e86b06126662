#include "distill/train/terms.h"

#include "distill/objectives/direction.h"
#include "distill/objectives/match.h"
#include "distill/objectives/policy.h"
#include "distill/objectives/preference.h"
#include "distill/objectives/token.h"

namespace retort {

std::unique_ptr<Term> make_term(const std::string& name, Config& node, const NumberMap& numbers,
                                const NoiseSchedule* schedule) {
  const std::string kind = node.get_choice("kind", {"match", "direction", "token", "policy", "preference"});
  if (kind == "match") return make_match(parse_match(name, node, numbers, schedule));
  if (kind == "token") return make_token(parse_token(name, node, numbers));
  if (kind == "preference") return make_preference(parse_preference(name, node, numbers));
  if (kind == "policy") return make_policy(parse_policy(name, node, numbers));
  return make_direction(parse_direction(name, node, numbers, schedule));
}

}  // namespace retort
