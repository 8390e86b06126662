#include "distill/train/rollout_spec.h"

#include "distill/train/call.h"

namespace retort {

namespace {
const Role& role_named(Config& node, const Roles& roles) {
  return lookup(roles, Call{node.as<std::string>(), {}, node.where()}, "role");
}

void parse_random_levels(RolloutSpec& spec, Config& node) {
  const Call call = parse_call(node);
  if (call.name != "random") fail_lookup(call, "list of levels", {"random"});
  CallArgs args(call);
  spec.random.count = args.integer("count", {.min = 1, .max = 1000});
  spec.random.low = args.number("low", {.min = 0, .max = 1});
  spec.random.high = args.number("high", {.min = spec.random.low, .max = 1});
  args.done();
}

void parse_levels(RolloutSpec& spec, Config& preset, const Role& role) {
  if (!preset.has("levels")) return;
  Config& levels = preset.child("levels");
  if (!role.diffusion) levels.fail(fmt::format("role {} has no schedule of noise", role.name));
  if (levels.is_scalar()) return parse_random_levels(spec, levels);
  spec.levels = levels.as<std::vector<double>>();
  for (std::size_t i = 1; i < spec.levels.size(); ++i)
    if (spec.levels[i] >= spec.levels[i - 1]) levels.fail("levels descend, the noisiest first");
}

void parse_ahead(RolloutSpec& spec, Config& preset) {
  if (!preset.has("ahead")) return;
  const auto range = preset.get<std::vector<double>>("ahead");
  if (range.size() != 2 || range[0] < 0 || range[1] > 1 || range[0] > range[1] || !preset.has("levels"))
    preset.child("ahead").fail("expected [u0, u1], fractions of the way from the cleanest level; needs levels");
  spec.ahead = {range[0], range[1]};
}
}  // namespace

RolloutSpec parse_rollout(Config& preset, Config& job, const Roles& roles,
                          const std::map<std::string, std::unique_ptr<Source>>& sources) {
  using Between = RolloutSpec::Between;
  using Exit = RolloutSpec::Exit;
  RolloutSpec spec;
  spec.name = preset.key();
  const Role& role = role_named(preset.child("role"), roles);
  spec.role = role.name;
  parse_levels(spec, preset, role);
  parse_ahead(spec, preset);
  spec.between = preset.get_choice("between", {"renoise", "ode"}, "renoise") == "ode" ? Between::ode : Between::renoise;
  const std::string exit = preset.get_choice("exit", {"last", "shared", "sample"}, "last");
  spec.exit = exit == "last" ? Exit::last : exit == "shared" ? Exit::shared : Exit::sample;
  spec.classes = job.get_int("classes", 0, {.min = 0});
  spec.in_turn = job.get_choice("labels", {"drawn", "in_turn"}, "drawn") == "in_turn";
  if (spec.in_turn && spec.classes == 0) job.child("labels").fail("labels in turn need `classes`");
  spec.per_condition = preset.get_int("per_condition", 1, {.min = 1});
  if (job.has("conditions"))
    for (Config& label : job.child("conditions").items()) spec.conditions[label.key()] = label.as<std::int64_t>();
  if (preset.has("beside"))
    for (Config& other : preset.child("beside").items()) {
      const auto source = sources.find(other.as<std::string>());
      if (source == sources.end()) {
        spec.beside[other.key()] = role_named(other, roles).name;
        continue;
      }
      if (source->second->batch != job.get_int("batch", {.min = 1})) other.fail("the two sources differ in `batch`");
      spec.references[other.key()] = source->second.get();
    }
  const auto reference = [&](const char* key) {
    if (preset.has(key)) lookup(spec.references, parse_call(preset.child(key)), "source beside this one");
    return preset.has(key) ? preset.get<std::string>(key) : std::string();
  };
  spec.cond = reference("cond");
  spec.input = reference("input");
  spec.gap = reference("gap");
  if (preset.has("through")) spec.through = role_named(preset.child("through"), roles).name;
  return spec;
}

}  // namespace retort
