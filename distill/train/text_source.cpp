#include "distill/train/text_source.h"

#include <cmath>

#include "distill/text/token_batch.h"

namespace retort {

namespace {
/// Rows of a set in keyed permutations, one epoch after the other, as the loader of images has them.
class TextSource final : public Source {
 public:
  struct Spec {
    std::string name;
    std::shared_ptr<const TokenSet> set;
    std::uint64_t seed = 0;
    bool shuffle = true;
    std::int64_t domain = -1;  ///< only rows of it; -1: all
    std::string prefix;        ///< a context that stands before the prompt; empty: none
    bool answers = false;      ///< the answer is the response
    std::optional<Frontier> weigh;
    Device device;
  };

  explicit TextSource(Spec spec) : spec_(std::move(spec)), widths_(TextWidths::of(*spec_.set)) {
    for (std::int64_t i = 0; i < spec_.set->size(); ++i)
      if (spec_.domain < 0 || spec_.set->row(i).domain == spec_.domain) rows_.push_back(i);
    if (!spec_.prefix.empty())
      widths_.total += lookup(widths_.told, Call{spec_.prefix, {}, "source " + spec_.name}, "context of the texts");
  }

  Batch draw(const DrawRequest& r, const Roles&, Pass&) const override {
    if (spec_.device.kind == DeviceKind::meta) {
      Batch b = text_batch_meta(r.rows, widths_, false);
      if (spec_.weigh) b.more["weight"] = b.more.at("pass_rate");
      return b;
    }
    std::vector<Text> texts;
    std::vector<std::int64_t> index, sample;
    for (std::int64_t i = 0; i < r.rows; ++i) {
      const std::int64_t position = r.phase_step * batch + r.first + i;
      sample.push_back(position);
      index.push_back(row_at(position));
      texts.push_back(text_of(spec_.set->row(index.back())));
    }
    Batch b = text_batch(*spec_.set, texts, widths_, Tensor::of<std::int64_t>(index, {r.rows}),
                         Tensor::of<std::int64_t>(sample, {r.rows}));
    if (spec_.weigh) {
      std::vector<double> weights;
      for (const std::int64_t id : index) weights.push_back(spec_.weigh->at(spec_.set->row(id).pass_rate));
      b.more["weight"] = Tensor::from(weights, {r.rows}, DType::f64);
    }
    return b;
  }
  std::int64_t steps_per_epoch() const override { return (count() + batch - 1) / batch; }
  std::shared_ptr<const TokenSet> texts() const override { return spec_.set; }
  std::int64_t group() const override { return spec_.set->group(); }

 private:
  std::int64_t count() const { return static_cast<std::int64_t>(rows_.size()); }

  std::int64_t row_at(std::int64_t position) const {
    const auto place = static_cast<std::uint64_t>(position % count()), pair = static_cast<std::uint64_t>(group());
    const auto epoch = static_cast<std::uint32_t>(position / count());
    if (!spec_.shuffle) return rows_[place];
    const RngKey key = Rng(spec_.seed).stream(spec_.name + "/order", epoch);
    return rows_[permuted_index(key, rows_.size() / pair, place / pair) * pair + place % pair];
  }

  Text text_of(const TokenRow& row) const {
    Text t{row.prompt, row.response, &row, {}, {}};
    if (!spec_.prefix.empty()) {
      const TokenIds& head = row.told.at(spec_.prefix);
      t.prompt.insert(t.prompt.begin(), head.begin(), head.end());
    }
    if (spec_.answers) {
      t.response = row.answer;
      t.response.push_back(spec_.set->end());
    }
    return t;
  }

  Spec spec_;
  TextWidths widths_;
  std::vector<std::int64_t> rows_;
};

std::unique_ptr<Source> read_texts(Config& node, Config& job, const std::shared_ptr<const TokenSet>& set,
                                   const TextSettings& settings) {
  TextSource::Spec spec;
  spec.name = node.key();
  spec.set = set;
  spec.seed = settings.setup.seed;
  spec.shuffle = job.get("shuffle", true);
  spec.domain = node.get_int("domain", -1, {.min = -1, .max = set->domains() - 1});
  spec.prefix = node.get("prefix", "");
  spec.answers = node.get_choice("respond", {"text", "answer"}, "text") == "answer";
  spec.weigh = read_frontier(node);
  spec.device = settings.device;
  auto source = std::make_unique<TextSource>(std::move(spec));
  source->batch = job.get_int("batch", {.min = 1});
  return source;
}
}  // namespace

double Frontier::at(double rate) const { return std::pow(rate, a) * std::pow(1 - rate, b); }

std::optional<Frontier> read_frontier(Config& node) {
  if (!node.has("weigh")) return {};
  const Call call = parse_call(node.child("weigh"));
  if (call.name != "frontier") fail_lookup(call, "weight of rows", {"frontier"});
  CallArgs args(call);
  Frontier f;
  f.a = args.number("a", 1.0, {.min = 0});
  f.b = args.number("b", 1.0, {.min = 0});
  args.done();
  return f;
}

std::unique_ptr<Source> read_text_source(Config& node, Config& job, const TextSettings& settings) {
  const std::string kind = node.get<std::string>("kind");
  if (kind == "data" && job.has("set")) {
    const auto set = settings.sets.find(job.get<std::string>("set"));
    if (set != settings.sets.end()) return read_texts(node, job, set->second, settings);
  }
  using Reader = std::unique_ptr<Source> (*)(Config&, const TextSettings&);
  static const std::map<std::string, Reader, std::less<>> made{
      {"generate", read_generate}, {"mixture", read_mixture}, {"replay", read_replay},   {"pairs", read_pairs},
      {"filter", read_filter},     {"voted", read_voted},     {"verdict", read_verdict}, {"judged", read_judged}};
  const auto reader = made.find(kind);
  return reader == made.end() ? nullptr : reader->second(node, settings);
}

Source& text_source_named(Config& node, const TextSettings& settings) {
  Source& source = settings.source(node);
  if (!source.texts()) node.fail("this source has no texts");
  return source;
}

DrawRequest request_of(const DrawRequest& asked, const std::string& name, std::int64_t first, std::int64_t rows) {
  return {asked.phase_step, asked.step, first, rows, "source/" + name, asked.clock};
}

}  // namespace retort
