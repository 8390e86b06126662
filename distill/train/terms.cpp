#include "distill/train/terms.h"

#include "distill/objectives/direction.h"
#include "distill/objectives/flow_map.h"
#include "distill/objectives/match.h"
#include "distill/objectives/scalar.h"

namespace retort {

std::unique_ptr<Term> make_term(const std::string& name, Config& node, const NumberMap& numbers,
                                const NoiseSchedule* schedule) {
  const std::string kind = node.get_choice("kind", {"match", "direction", "scalar", "flowmap"});
  if (kind == "match") return make_match(parse_match(name, node, numbers, schedule));
  if (kind == "scalar") return make_scalar(parse_scalar(name, node, numbers, schedule));
  if (kind == "flowmap") return make_flow_map(parse_flow_map(name, node, numbers, schedule));
  return make_direction(parse_direction(name, node, numbers, schedule));
}

}  // namespace retort
