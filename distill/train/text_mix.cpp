// distill/train/text_mix.cpp -- sources made of other sources of texts: mixtures, replay, pairs, filters.
#include <algorithm>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/index.h"
#include "autograd/ops/shape.h"
#include "distill/text/rewards.h"
#include "distill/train/answers.h"
#include "distill/train/text_source.h"
#include "tensor/write.h"

namespace retort {

namespace {
Tensor column(const std::vector<std::int64_t>& v) {
  return Tensor::of<std::int64_t>(v, {static_cast<std::int64_t>(v.size())});
}

/// Rows of a batch in another order.
Batch rows_of(const Batch& b, const std::vector<std::int64_t>& rows) {
  const Tensor order = column(rows);
  Batch taken;
  taken.x = index_select(b.x, 0, order);
  taken.index = index_select(b.index, 0, order);
  taken.sample = index_select(b.sample, 0, order);
  for (const auto& [name, value] : b.more) taken.more[name] = index_select(value, 0, order);
  return taken;
}

/// Batches of one width: what is known by token is padded with the tokens, and counts nothing there.
std::vector<Batch> of_one_width(std::vector<Batch> batches) {
  std::int64_t wide = 0;
  for (const Batch& b : batches) wide = std::max(wide, b.x.size(1));
  for (Batch& b : batches) {
    const std::int64_t own = b.x.size(1);
    if (own == wide) continue;
    b.x = pad(b.x, {0, 0}, {0, wide - own});
    for (const char* name : {"mask", "private", "lp_old", "is_weight", "off_policy"})
      if (const auto found = b.more.find(name); found != b.more.end())
        found->second = pad(found->second, {0, 0}, {0, wide - own});
  }
  return batches;
}

/// A source that passes on what others draw, each under its own name.
class Combined : public Source {
 public:
  struct Part {
    std::string name;
    Source* source;
  };
  std::shared_ptr<const TokenSet> texts() const override { return parts_[0].source->texts(); }
  std::int64_t steps_per_epoch() const override { return parts_[0].source->steps_per_epoch(); }

 protected:
  explicit Combined(std::vector<Part> parts) : parts_(std::move(parts)) {}
  Batch ask(std::size_t k, const DrawRequest& r, std::int64_t first, std::int64_t rows, const Roles& roles,
            Pass& pass) const {
    return parts_[k].source->draw(request_of(r, parts_[k].name, first, rows), roles, pass);
  }
  std::vector<Part> parts_;
};

std::uint32_t step_of(const DrawRequest& r) { return static_cast<std::uint32_t>(r.step); }

class Mixture final : public Combined {
 public:
  /// One coin a batch, for rows that belong together, or a row.
  enum class Per : std::uint8_t { batch, sample, row };
  Mixture(std::vector<Part> parts, std::vector<Weight> shares, Per per, std::uint64_t seed)
      : Combined(std::move(parts)), shares_(std::move(shares)), per_(per), seed_(seed) {}
  std::int64_t group() const override {
    std::int64_t most = 1;
    for (const Part& p : parts_) most = std::max(most, p.source->group());
    return most;
  }

  Batch draw(const DrawRequest& r, const Roles& roles, Pass& pass) const override {
    if (per_ == Per::batch) return ask(chosen(r, 0), r, r.first, r.rows, roles, pass);
    std::vector<Batch> drawn;
    for (std::size_t k = 0; k < parts_.size(); ++k) drawn.push_back(ask(k, r, r.first, r.rows, roles, pass));
    if (drawn[0].x.meta()) return of_one_width(std::move(drawn))[0];
    std::vector<std::int64_t> rows;
    for (std::int64_t i = 0; i < r.rows; ++i) {
      const std::int64_t who = 1 + (r.first + i) / (per_ == Per::row ? 1 : group());
      rows.push_back(static_cast<std::int64_t>(chosen(r, static_cast<std::uint64_t>(who))) * r.rows + i);
    }
    return rows_of(joined(of_one_width(std::move(drawn))), rows);
  }

  void keep(const DrawRequest& r, const Batch& batch) override {
    if (per_ != Per::batch) return;
    const std::size_t k = chosen(r, 0);
    parts_[k].source->keep(request_of(r, parts_[k].name, r.first, r.rows), batch);
  }

 private:
  /// The part that coin `who` of the step falls on.
  std::size_t chosen(const DrawRequest& r, std::uint64_t who) const {
    double u = 0;
    fill_uniform(std::span(&u, 1), Rng(seed_).stream(r.stream + "/coin", step_of(r)), who);
    for (std::size_t k = 0; k < shares_.size(); ++k) {
      u -= shares_[k].at(r.clock);
      if (u < 0) return k;
    }
    return parts_.size() - 1;
  }

  std::vector<Weight> shares_;  // of all parts but the last
  Per per_;
  std::uint64_t seed_;
};

/// A ring of rows that were fresh once.
class Replay final : public Combined {
 public:
  Replay(Part of, Weight fresh, std::int64_t capacity, std::uint64_t seed)
      : Combined({std::move(of)}),
        fresh_(std::move(fresh)),
        capacity_(capacity),
        seed_(seed),
        count_(Tensor::zeros({1}, DType::f64)) {
    const std::int64_t width = TextWidths::of(*texts()).total;
    tokens_ = Tensor::zeros({capacity, width}, DType::f64);
    mask_ = Tensor::zeros({capacity, width}, DType::f64);
    known_ = Tensor::zeros({capacity, 2}, DType::f64);
  }
  std::int64_t group() const override { return parts_[0].source->group(); }

  Batch draw(const DrawRequest& r, const Roles& roles, Pass& pass) const override {
    if (is_fresh(r)) return ask(0, r, r.first, r.rows, roles, pass);
    const auto filled = static_cast<std::uint64_t>(std::min(kept(), capacity_));
    const RngKey key = Rng(seed_).stream(r.stream + "/slot", step_of(r));
    std::vector<Text> texts;
    std::vector<std::int64_t> index, sample;
    for (std::int64_t i = 0; i < r.rows; ++i) {
      sample.push_back(r.step * batch + r.first + i);
      texts.push_back(remembered(
          static_cast<std::int64_t>(uniform_int(key, static_cast<std::uint64_t>(r.first + i), 0, filled)), index));
    }
    return text_batch(*this->texts(), texts, TextWidths::of(*this->texts()), column(index), column(sample));
  }

  void keep(const DrawRequest& r, const Batch& batch) override {
    if (!is_fresh(r) || batch.x.meta()) return;
    const auto put = [&](const Tensor& to, std::int64_t slot, const Tensor& from) {
      assign_(select(to, 0, slot), cast(from, DType::f64), "replay");
    };
    for (std::int64_t i = 0; i < batch.size(); ++i) {
      const std::int64_t slot = kept() % capacity_;
      put(tokens_, slot, select(batch.x, 0, i));
      put(mask_, slot, select(batch.more.at("mask"), 0, i));
      const std::vector<double> known{select(batch.index, 0, i).item(),
                                      select(batch.more.at("prompt_length"), 0, i).item()};
      put(known_, slot, Tensor::from(known, {2}, DType::f64));
      assign_(count_, Tensor::full({1}, static_cast<double>(kept() + 1), DType::f64), "replay");
    }
  }

  void visit_state(const std::function<void(const std::string&, Tensor&)>& visit) override {
    visit("tokens", tokens_);
    visit("mask", mask_);
    visit("known", known_);
    visit("count", count_);
  }

 private:
  std::int64_t kept() const { return static_cast<std::int64_t>(count_.values()[0]); }
  bool is_fresh(const DrawRequest& r) const {
    double u = 0;
    fill_uniform(std::span(&u, 1), Rng(seed_).stream(r.stream + "/coin", step_of(r)), 0);
    return kept() == 0 || u < fresh_.at(r.clock);
  }
  Text remembered(std::int64_t slot, std::vector<std::int64_t>& index) const {
    Batch row;
    row.x = cast(unsqueeze(select(tokens_, 0, slot), 0), DType::i64);
    row.more["mask"] = unsqueeze(select(mask_, 0, slot), 0);
    const auto known = select(known_, 0, slot).values();
    row.more["prompt_length"] = Tensor::full({1}, known[1], DType::i64);
    Text text = texts_of(row)[0];
    index.push_back(static_cast<std::int64_t>(known[0]));
    text.row = &texts()->row(index.back());
    return text;
  }

  Weight fresh_;
  std::int64_t capacity_;
  std::uint64_t seed_;
  Tensor tokens_, mask_, known_, count_;  // rows by slot; data id and length of the prompt; rows ever kept
};

class Pairs final : public Combined {
 public:
  using Combined::Combined;
  explicit Pairs(std::vector<Part> parts) : Combined(std::move(parts)) {}
  std::int64_t group() const override { return 2 * std::max(parts_[0].source->group(), parts_[1].source->group()); }
  Batch draw(const DrawRequest& r, const Roles& roles, Pass& pass) const override {
    const std::int64_t n = r.rows / 2;
    std::vector<Batch> both;
    for (std::size_t k = 0; k < 2; ++k) both.push_back(ask(k, r, r.first / 2, n, roles, pass));
    Batch all = joined(of_one_width(std::move(both)));
    if (all.x.meta()) return all;
    std::vector<std::int64_t> rows, group, sample;
    for (std::int64_t i = 0; i < r.rows; ++i) {
      rows.push_back(i % 2 * n + i / 2);
      group.push_back((r.step * batch + r.first + i) / 2);
      sample.push_back(r.step * batch + r.first + i);
    }
    all = rows_of(all, rows);
    all.more["group"] = column(group);
    all.sample = column(sample);
    return all;
  }
};

/// Which rows of a group count; all of a batch's rows are asked at once, `group` rows belong together.
using Keep = std::function<std::vector<bool>(const Batch& batch, std::int64_t group)>;

Keep keep_above(CallArgs& args, const std::string& what) {
  const double least = args.number("least", 1.0);
  return [least, what](const Batch& batch, std::int64_t) {
    std::vector<bool> kept;
    for (const double v : lookup(batch.more, Call{what, {}, "filter"}, "thing known of the texts").values())
      kept.push_back(v >= least);
    return kept;
  };
}

/// Rewritten answers that are right, of attempts that were wrong (UNDO).
Keep keep_mended(CallArgs&) {
  return [](const Batch& batch, std::int64_t) {
    const auto before = batch.more.at("reward_before").values(), now = batch.more.at("reward").values();
    std::vector<bool> kept;
    for (std::size_t i = 0; i < now.size(); ++i) kept.push_back(before[i] <= 0 && now[i] > 0);
    return kept;
  };
}

/// Of each group, unless more than `easy` of it is right, the right responses; of these the `count` that differ most.
Keep keep_diverse(CallArgs& args) {
  const auto count = static_cast<std::size_t>(args.integer("count", {.min = 1}));
  const double easy = args.number("easy", 1.0, {.min = 0, .max = 1});
  return [count, easy](const Batch& batch, std::int64_t group) {
    const std::vector<Text> texts = texts_of(batch);
    const auto reward = batch.more.at("reward").values();
    std::vector<bool> kept(texts.size(), false);
    for (std::size_t begin = 0; begin < texts.size(); begin += static_cast<std::size_t>(group)) {
      std::vector<std::size_t> right;
      for (std::size_t i = begin; i < begin + static_cast<std::size_t>(group); ++i)
        if (reward[i] > 0) right.push_back(i);
      if (static_cast<double>(right.size()) > easy * static_cast<double>(group)) continue;
      std::vector<std::vector<double>> far(right.size(), std::vector<double>(right.size(), 0));
      for (std::size_t a = 0; a < right.size(); ++a)
        for (std::size_t b = 0; b < right.size(); ++b)
          far[a][b] = static_cast<double>(edit_distance(texts[right[a]].response, texts[right[b]].response));
      for (const std::size_t i : diverse(far, count)) kept[right[i]] = true;
    }
    return kept;
  };
}

Keep make_keep(const Call& call) {
  static const std::map<std::string, Keep (*)(CallArgs&), std::less<>> table{
      {"reward", [](CallArgs& args) { return keep_above(args, "reward"); }},
      {"mended", keep_mended},
      {"diverse", keep_diverse}};
  CallArgs args(call);
  Keep keep = lookup(table, call, "rule of a filter")(args);
  args.done();
  return keep;
}

class Filter final : public Combined {
 public:
  Filter(std::vector<Part> parts, Keep rule) : Combined(std::move(parts)), rule_(std::move(rule)) {}
  std::int64_t group() const override { return parts_[0].source->group(); }
  Batch draw(const DrawRequest& r, const Roles& roles, Pass& pass) const override {
    Batch b = ask(0, r, r.first, r.rows, roles, pass);
    if (b.x.meta()) return b;
    const std::vector<bool> kept = rule_(b, group());
    if (parts_.size() == 1) {
      std::vector<double> counts(kept.begin(), kept.end());
      b.more["mask"] = b.more.at("mask") * Tensor::from(counts, {b.size(), 1}, DType::f64);
      return b;
    }
    const Batch other = ask(1, r, r.first, r.rows, roles, pass);
    std::vector<std::int64_t> rows;
    for (std::int64_t i = 0; i < r.rows; ++i) rows.push_back(kept[static_cast<std::size_t>(i)] ? i : r.rows + i);
    return rows_of(joined(of_one_width({b, other})), rows);
  }

 private:
  Keep rule_;
};

Combined::Part part_named(Config& node, const TextSettings& settings) {
  return {node.as<std::string>(), &text_source_named(node, settings)};
}

void require_batches(Config& node, const std::vector<Combined::Part>& parts) {
  for (const Combined::Part& p : parts)
    if (p.source->batch != parts[0].source->batch)
      node.fail(fmt::format("its sources differ in batch: {} of {} and {} of {}", parts[0].source->batch, parts[0].name,
                            p.source->batch, p.name));
}
}  // namespace

std::unique_ptr<Source> read_mixture(Config& node, const TextSettings& settings) {
  std::vector<Combined::Part> parts;
  std::vector<Weight> shares;
  const auto entries = node.child("of").items();
  for (Config& entry : entries) {
    const auto fields = entry.items();
    if (fields.size() != 2) entry.fail("expected [share, source]");
    parts.push_back(part_named(fields[1], settings));
    const bool rest = fields[0].get().is_scalar() && fields[0].get().as<std::string>() == "rest";
    if (rest != (parts.size() == entries.size())) entry.fail("the last share, and it alone, is `rest`");
    if (!rest) shares.push_back(Weight::parse(fields[0], settings.numbers));
  }
  if (parts.size() < 2) node.fail("a mixture needs at least two sources");
  require_batches(node, parts);
  const std::string word = node.get_choice("per", {"batch", "sample", "row"});
  const Mixture::Per per = word == "batch" ? Mixture::Per::batch
                           : word == "row" ? Mixture::Per::row
                                           : Mixture::Per::sample;
  const std::int64_t batch = parts[0].source->batch;
  auto source = std::make_unique<Mixture>(std::move(parts), std::move(shares), per, settings.setup.seed);
  source->batch = batch;
  return source;
}

std::unique_ptr<Source> read_replay(Config& node, const TextSettings& settings) {
  const Combined::Part of = part_named(node.child("of"), settings);
  auto source = std::make_unique<Replay>(of, Weight::parse(node.child("fresh"), settings.numbers),
                                         node.get_int("capacity", {.min = 1, .max = 1 << 24}), settings.setup.seed);
  source->batch = of.source->batch;
  return source;
}

std::unique_ptr<Source> read_pairs(Config& node, const TextSettings& settings) {
  std::vector<Combined::Part> parts{part_named(node.child("chosen"), settings),
                                    part_named(node.child("rejected"), settings)};
  require_batches(node, parts);
  const std::int64_t batch = 2 * parts[0].source->batch;
  auto source = std::make_unique<Pairs>(std::move(parts));
  source->batch = batch;
  return source;
}

std::unique_ptr<Source> read_filter(Config& node, const TextSettings& settings) {
  std::vector<Combined::Part> parts{part_named(node.child("of"), settings)};
  if (node.has("else")) parts.push_back(part_named(node.child("else"), settings));
  require_batches(node, parts);
  const std::int64_t batch = parts[0].source->batch;
  auto source = std::make_unique<Filter>(std::move(parts), make_keep(parse_call(node.child("keep"))));
  source->batch = batch;
  return source;
}

}  // namespace retort
