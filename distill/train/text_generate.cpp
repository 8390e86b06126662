// distill/train/text_generate.cpp -- the source `generate`: responses sampled from a role.
#include "distill/objectives/tables/views.h"
#include "distill/text/generate.h"
#include "distill/text/rewards.h"
#include "distill/train/text_source.h"

namespace retort {

namespace {
/// What the batch holds as the prompt when the role was told more than that.
enum class Shown : std::uint8_t { plain, told, trace };

class GenerateSource final : public Source {
 public:
  struct Spec {
    std::string name, role, prompts_name;
    const Source* prompts = nullptr;
    std::int64_t per_prompt = 1;
    GenerateSpec how;
    std::string second;
    Weight share;
    std::optional<TextView> view;
    Shown shown = Shown::plain;
    bool by_index = false;
    std::optional<Reward> reward;
    std::optional<Frontier> weigh;
    bool off_policy = false;  ///< its tokens count as another's
    DType dtype = DType::f32;
    Device device;
  };

  explicit GenerateSource(Spec spec) : spec_(std::move(spec)) {}
  std::shared_ptr<const TokenSet> texts() const override { return spec_.prompts->texts(); }
  std::int64_t group() const override { return spec_.per_prompt * spec_.prompts->group(); }
  std::int64_t steps_per_epoch() const override { return spec_.prompts->steps_per_epoch(); }

  Batch draw(const DrawRequest& r, const Roles& roles, Pass& pass) const override {
    const std::int64_t n = spec_.per_prompt;
    const Batch prompts = spec_.prompts->draw(request_of(r, spec_.prompts_name, r.first / n, r.rows / n), roles, pass);
    const std::int64_t told = spec_.view ? spec_.view->extra(prompts) : 0;
    TextWidths widths = TextWidths::of(*texts());
    widths.total = std::max(widths.total, texts()->prompt_width() + spec_.how.max_tokens);
    if (spec_.shown != Shown::plain) widths.total += told;
    if (spec_.device.kind == DeviceKind::meta) {
      Batch b = text_batch_meta(r.rows, widths, true);
      b.more["group"] = b.index;
      if (spec_.reward) b.more["reward"] = Tensor::empty({r.rows}, DType::f64, kMeta);
      if (spec_.weigh) b.more["weight"] = Tensor::empty({r.rows}, DType::f64, kMeta);
      if (prompts.more.contains("reward")) b.more["reward_before"] = Tensor::empty({r.rows}, DType::f64, kMeta);
      return b;
    }
    return respond(r, prompts, widths, roles, pass);
  }

 private:
  Batch respond(const DrawRequest& r, const Batch& prompts, const TextWidths& widths, const Roles& roles,
                Pass& pass) const {
    const std::vector<Text> asked = texts_of(prompts);
    const auto ids = prompts.index.values<std::int64_t>();
    const std::int64_t n = spec_.per_prompt;
    std::vector<TokenIds> heads;
    std::vector<std::int64_t> index, sample, group;
    std::int64_t wide = texts()->prompt_width();
    for (std::int64_t i = 0; i < r.rows; ++i) {
      const auto p = static_cast<std::size_t>(i / n);
      heads.push_back(spec_.view ? spec_.view->context(prompts, asked[p], i / n) : asked[p].prompt);
      wide = std::max(wide, static_cast<std::int64_t>(heads.back().size()));
      index.push_back(ids[p]);
      sample.push_back(r.step * batch + r.first + i);
      group.push_back((r.step * batch + r.first + i) / n);
    }
    const Generated g = sampled(r, heads, wide, index, sample, roles, pass);
    std::vector<Text> texts;
    std::vector<double> rewards, before;
    const auto grouped = prompts.more.find("group");
    const auto groups =
        grouped == prompts.more.end() ? std::vector<std::int64_t>() : grouped->second.values<std::int64_t>();
    const auto earlier = prompts.more.find("reward");
    const auto was = earlier == prompts.more.end() ? std::vector<double>() : earlier->second.values();
    for (std::size_t i = 0; i < heads.size(); ++i) {
      const std::size_t p = i / static_cast<std::size_t>(n);
      const TokenRow& row = this->texts()->row(index[i]);
      if (spec_.reward) rewards.push_back((*spec_.reward)(g.tokens[i], row, this->texts()->end()));
      if (!was.empty()) before.push_back(was[p]);
      if (!groups.empty()) group[i] = groups[p];
      texts.push_back(shown(asked[p], heads[i], g, i));
      texts.back().row = &row;
    }
    const auto column = [&](const std::vector<std::int64_t>& v) { return Tensor::of<std::int64_t>(v, {r.rows}); };
    Batch b = text_batch(*this->texts(), texts, widths, column(index), column(sample));
    b.more["group"] = column(group);
    if (!rewards.empty()) b.more["reward"] = Tensor::from(rewards, {r.rows}, DType::f64);
    if (spec_.weigh) b.more["weight"] = weights(rewards);
    if (!before.empty()) b.more["reward_before"] = Tensor::from(before, {r.rows}, DType::f64);
    return b;
  }

  /// Of the share of each prompt's responses that are right, by row.
  Tensor weights(const std::vector<double>& rewards) const {
    const auto n = static_cast<std::size_t>(spec_.per_prompt);
    std::vector<double> all;
    for (std::size_t first = 0; first < rewards.size(); first += n) {
      double right = 0;
      for (std::size_t i = first; i < first + n; ++i) right += rewards[i] > 0;
      all.insert(all.end(), n, spec_.weigh->at(right / static_cast<double>(n)));
    }
    return Tensor::from(all, {static_cast<std::int64_t>(all.size())}, DType::f64);
  }

  Generated sampled(const DrawRequest& r, const std::vector<TokenIds>& heads, std::int64_t wide,
                    const std::vector<std::int64_t>& index, const std::vector<std::int64_t>& sample, const Roles& roles,
                    const Pass& pass) const {
    const Role& role = roles.at(spec_.role);
    GenerateSpec how = spec_.how;
    if (!spec_.second.empty()) {
      how.second.decoder = &dynamic_cast<const Decoder&>(*roles.at(spec_.second).model);
      how.second.share = spec_.share.at(r.clock);
    }
    std::vector<std::int64_t> keys = sample;
    if (spec_.by_index)
      for (std::size_t i = 0; i < keys.size(); ++i)
        keys[i] = index[i] * spec_.per_prompt + static_cast<std::int64_t>(i) % spec_.per_prompt;
    const RngKey key = pass.rng.stream(r.stream, spec_.by_index ? 0 : static_cast<std::uint32_t>(r.step));
    const auto context = [&role] {
      Ctx ctx;
      ctx.compute = role.compute;
      return ctx;
    };
    return generate(dynamic_cast<const Decoder&>(*role.model), heads, wide, how, key, keys, context, role.compute);
  }

  /// A row of the batch. In a trace what the role was told behind the prompt heads the response: the words of an
  /// earlier response keep what is known of them, all others count as another's.
  Text shown(const Text& asked, const TokenIds& head, const Generated& g, std::size_t i) const {
    const std::size_t said = g.tokens[i].size();
    Text t{asked.prompt, g.tokens[i], nullptr, g.log_prob[i], g.weight[i], std::vector<double>(said, spec_.off_policy)};
    if (spec_.shown == Shown::told) t.prompt = head;
    if (spec_.shown != Shown::trace) return t;
    const auto rest = head.begin() + static_cast<std::ptrdiff_t>(std::min(asked.prompt.size(), head.size()));
    const auto more = static_cast<std::size_t>(head.end() - rest);
    const auto before = [more](std::vector<double>& own, std::vector<double> earlier, double otherwise) {
      earlier.resize(more, otherwise);
      own.insert(own.begin(), earlier.begin(), earlier.end());
    };
    t.response.insert(t.response.begin(), rest, head.end());
    before(t.lp_old, asked.lp_old, 0);
    before(t.is_weight, asked.is_weight, 1);
    before(t.off_policy, asked.off_policy, 1);
    return t;
  }

  Spec spec_;
};

const Role& decoder_role(Config& node, const TextSettings& settings) {
  const Role& role = lookup(settings.setup.roles, Call{node.as<std::string>(), {}, node.where()}, "role");
  if (!dynamic_cast<const Decoder*>(role.model.get()))
    node.fail(fmt::format("role {} is no language model: {}", role.name, role.model->arch()));
  return role;
}
}  // namespace

std::unique_ptr<Source> read_generate(Config& node, const TextSettings& settings) {
  GenerateSource::Spec spec;
  spec.name = node.key();
  spec.role = decoder_role(node.child("role"), settings).name;
  spec.prompts = &text_source_named(node.child("prompts"), settings);
  spec.prompts_name = node.get<std::string>("prompts");
  spec.per_prompt = node.get_int("per_prompt", 1, {.min = 1});
  const TokenSet& set = *spec.prompts->texts();
  spec.how.sampling.temperature = node.get_real("temperature", 1.0, {.min = 0});
  spec.how.sampling.top_k = node.get_int("top_k", 0, {.min = 0});
  spec.how.sampling.top_p = node.get_real("top_p", 1.0, {.max = 1, .above = 0});
  spec.how.max_tokens = node.get_int("max_tokens", set.width() - set.prompt_width(), {.min = 1});
  spec.how.end = set.end();
  if (node.has("second")) {
    spec.second = decoder_role(node.child("second"), settings).name;
    spec.share = Weight::parse(node.child("share"), settings.numbers);
  }
  if (node.has("view")) {
    spec.view = make_view(parse_call(node.child("view")));
    if (!spec.view->context) node.child("view").fail("this view changes responses; a role is sampled in a context");
    const std::string shown = node.get_choice("prompt", {"plain", "told", "trace"}, "plain");
    spec.shown = shown == "plain" ? Shown::plain : shown == "told" ? Shown::told : Shown::trace;
  }
  spec.by_index = node.get_choice("keyed_by", {"step", "index"}, "step") == "index";
  if (node.has("reward")) spec.reward = make_reward(parse_call(node.child("reward")));
  spec.weigh = read_frontier(node);
  if (spec.weigh && !spec.reward) node.child("weigh").fail("rows are weighed by their rewards");
  spec.off_policy = node.get("off_policy", false);
  spec.dtype = settings.dtype;
  spec.device = settings.device;
  const std::int64_t batch = spec.prompts->batch * spec.per_prompt;
  auto source = std::make_unique<GenerateSource>(std::move(spec));
  source->batch = batch;
  return source;
}

}  // namespace retort
