#include "distill/train/source_reader.h"

#include <set>

#include "distill/train/rollout_spec.h"
#include "distill/train/synthetic_source.h"

namespace retort {

namespace {
class SourceReader {
 public:
  SourceReader(Config& config, const SourceSettings& from, Setup& setup)
      : config_(config), from_(from), setup_(setup), micro_(config.get_int("run.micro_batch", 0, {.min = 0})) {}

  void read() {
    for (Config& s : config_.child("method").child("sources").items()) source_of(s);
  }

 private:
  /// The source of a section, built when it is first asked for: sources may be made of others.
  Source& source_of(Config& s) {
    const auto found = setup_.sources.find(s.key());
    if (found != setup_.sources.end()) return *found->second;
    if (!begun_.insert(s.key()).second) s.fail("it is made of itself");
    const std::string kind = s.get_choice("kind", {"data", "synthetic", "rollout", "generate", "mixture", "replay",
                                                   "pairs", "filter", "voted", "verdict", "judged"});
    const std::string name = config_.child("sources").has(s.key()) ? s.key() : "default";
    if (kind == "synthetic") return read_synthetic(s, name);
    Config& c = config_.child("sources").child(name);
    const TextSettings settings{from_.texts,   setup_,
                                from_.numbers, [this](Config& node) -> Source& { return source_named(node); },
                                from_.dtype,   from_.device};
    auto made = read_text_source(s, c, settings);
    if (!made) made = read_source(kind, s, c);
    if (made->batch == 0) made->batch = c.get_int("batch", {.min = 1});
    if (micro_ > 0 && micro_ < made->batch && made->batch % micro_ != 0)
      s.fail(fmt::format("the global batch of {} must be a multiple of run.micro_batch = {}", made->batch, micro_));
    made->micro_batch = micro_ > 0 ? std::min(micro_, made->batch) : made->batch;
    if (made->micro_batch % made->group() != 0)
      s.fail(
          fmt::format("run.micro_batch = {} would part rows that belong together, {} a group", micro_, made->group()));
    made->fresh = s.has("draw") && s.get_choice("draw", {"shared", "fresh"}) == "fresh";
    return *(setup_.sources[s.key()] = std::move(made));
  }

  /// Rows of a synthetic set: all slots, or sources.NAME.batch of the job.
  Source& read_synthetic(Config& s, const std::string& name) {
    const Role& role = role_named(s.child("role"));
    const std::int64_t batch = name == s.key() ? config_.get_int("sources." + name + ".batch", 0, {.min = 0}) : 0;
    auto source = synthetic_source(s.key(), role, batch);
    source->micro_batch = source->batch;
    return *(setup_.sources[s.key()] = std::move(source));
  }

  Source& source_named(Config& node) {
    std::map<std::string, Config*> known;
    for (Config& s : config_.child("method").child("sources").items()) known[s.key()] = &s;
    return source_of(*lookup(known, Call{node.as<std::string>(), {}, node.where()}, "source"));
  }

  std::unique_ptr<Source> read_source(const std::string& kind, Config& s, Config& c) {
    if (kind == "rollout") return read_rollout(s, c);
    return c.has("from") || c.has("law") ? law_source(c, setup_.roles, from_.dtype, from_.device) : read_loader(s, c);
  }

  std::unique_ptr<Source> read_rollout(Config& s, Config& c) {
    if (s.has("beside"))  // samples of other sources, built before this one
      for (Config& other : s.child("beside").items())
        if (config_.child("method").child("sources").has(other.as<std::string>())) source_named(other);
    RolloutSpec spec = parse_rollout(s, c, setup_.roles, setup_.sources);
    spec.sample = from_.sample;
    spec.dtype = from_.dtype;
    spec.device = from_.device;
    return rollout_source(std::move(spec));
  }

  std::unique_ptr<Source> read_loader(Config& s, Config& c) {
    LoaderOptions o;
    o.name = s.key();
    o.seed = setup_.seed;
    o.dtype = from_.dtype;
    o.global_batch = c.get_int("batch", {.min = 1});
    o.shuffle = c.get("shuffle", true);
    o.drop_last = c.get("drop_last", false);
    o.labelled = c.get("labelled", true);
    if (c.has("augment")) o.augment = parse_augment(c.child("augment"));
    Config& named = c.child("set");
    const auto& set = lookup(from_.sets, Call{named.as<std::string>(), {}, named.where()}, "data set");
    if (s.has("classes")) {
      s.get_choice("classes", {"even"});
      return even_source(set, o, from_.device);
    }
    return data_source(set, std::make_shared<Loader>(set, o), from_.device);
  }

  const Role& role_named(Config& node) {
    return lookup(setup_.roles, Call{node.as<std::string>(), {}, node.where()}, "role");
  }

  Config& config_;
  const SourceSettings& from_;
  Setup& setup_;
  std::int64_t micro_;
  std::set<std::string> begun_;  // sources that are being built, or were
};
}  // namespace

void build_sources(Config& job, const SourceSettings& settings, Setup& setup) {
  SourceReader(job, settings, setup).read();
}

}  // namespace retort
