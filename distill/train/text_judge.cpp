// distill/train/text_judge.cpp -- sources in which responses are judged: by the vote of a group, or by a language
// model.
#include <algorithm>

#include "autograd/ops/nn.h"
#include "autograd/ops/shape.h"
#include "distill/objectives/tables/views.h"
#include "distill/train/text_source.h"
#include "tensor/transfer.h"

namespace retort {

namespace {
/// What another source draws, changed.
class Judging : public Source {
 public:
  Judging(std::string name, const Source& of) : name_(std::move(name)), of_(of) {}
  std::shared_ptr<const TokenSet> texts() const override { return of_.texts(); }
  std::int64_t group() const override { return of_.group(); }
  std::int64_t steps_per_epoch() const override { return of_.steps_per_epoch(); }
  Batch draw(const DrawRequest& r, const Roles& roles, Pass& pass) const override {
    Batch b = of_.draw(request_of(r, name_, r.first, r.rows), roles, pass);
    if (b.x.meta()) return planned(std::move(b));
    return judged(std::move(b), roles, pass);
  }

 protected:
  virtual Batch judged(Batch b, const Roles& roles, Pass& pass) const = 0;
  virtual Batch planned(Batch b) const {
    b.more["reward"] = Tensor::empty({b.size()}, DType::f64, kMeta);
    return b;
  }

 private:
  std::string name_;
  const Source& of_;
};

/// reward 1 where a response's last word is that of most of its group (of equals the lowest id), else 0.
class Voted final : public Judging {
 public:
  using Judging::Judging;

 private:
  Batch judged(Batch b, const Roles&, Pass&) const override {
    const std::vector<Text> rows = texts_of(b);
    const auto n = static_cast<std::size_t>(group());
    std::vector<double> reward;
    for (std::size_t first = 0; first < rows.size(); first += n) {
      std::map<std::int64_t, int> votes;
      for (std::size_t i = first; i < first + n; ++i) ++votes[last_word(rows[i].response)];
      const auto most = std::max_element(votes.begin(), votes.end(),
                                         [](const auto& a, const auto& c) { return a.second < c.second; });
      for (std::size_t i = first; i < first + n; ++i)
        reward.push_back(last_word(rows[i].response) == most->first ? 1 : 0);
    }
    b.more["reward"] = Tensor::from(reward, {b.size()}, DType::f64);
    return b;
  }
  std::int64_t last_word(const TokenIds& response) const {
    for (auto id = response.rbegin(); id != response.rend(); ++id)
      if (*id != texts()->end()) return *id;
    return -1;
  }
};

/// Prompt and response become the prompt, and the verifier's word is the response: what a judge learns to say.
class Verdict final : public Judging {
 public:
  using Judging::Judging;

 private:
  static TextWidths widths(const Batch& b, const TokenSet& set) {
    TextWidths w = TextWidths::of(set);
    w.total = b.x.size(1) + std::max(w.told.at("right"), w.told.at("wrong"));
    return w;
  }
  Batch judged(Batch b, const Roles&, Pass&) const override {
    const auto reward = b.more.at("reward").values();
    const auto index = b.index.values<std::int64_t>();
    std::vector<Text> rows;
    for (Text& t : texts_of(b)) {
      const TokenRow& row = texts()->row(index[rows.size()]);
      t.prompt.insert(t.prompt.end(), t.response.begin(), t.response.end());
      rows.push_back({std::move(t.prompt), row.told.at(reward[rows.size()] > 0 ? "right" : "wrong"), &row});
    }
    return text_batch(*texts(), rows, widths(b, *texts()), b.index, b.sample);
  }
  Batch planned(Batch b) const override { return text_batch_meta(b.size(), widths(b, *texts()), false); }
};

/// reward log p(right) - log p(wrong), what a role says after prompt and response.
class Judged final : public Judging {
 public:
  Judged(std::string name, const Source& of, std::string judge)
      : Judging(std::move(name), of), judge_(std::move(judge)) {}

 private:
  Batch judged(Batch b, const Roles& roles, Pass& pass) const override {
    const Role& judge = roles.at(judge_);
    const Tensor z = stop_gradient(judge.net->eval({b.x, {}, {}, b.index, b.sample}, {}, Grad::None, pass).out);
    const auto logits = to(z, kCpu).values();
    const auto index = b.index.values<std::int64_t>();
    const auto width = static_cast<std::size_t>(z.size(1)), vocab = static_cast<std::size_t>(z.size(2));
    const std::vector<Text> rows = texts_of(b);
    std::vector<double> reward;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const std::size_t last = i * width + rows[i].prompt.size() + rows[i].response.size() - 1;
      const auto said = [&](const char* word) {
        return logits[last * vocab + static_cast<std::size_t>(texts()->row(index[i]).told.at(word).at(0))];
      };
      reward.push_back(said("right") - said("wrong"));
    }
    b.more["reward"] = Tensor::from(reward, {b.size()}, DType::f64);
    return b;
  }
  std::string judge_;
};

template <class Made, class... More>
std::unique_ptr<Source> over(Config& node, const TextSettings& settings, More... more) {
  const Source& of = text_source_named(node.child("of"), settings);
  auto source = std::make_unique<Made>(node.get<std::string>("of"), of, std::move(more)...);
  source->batch = of.batch;
  return source;
}
}  // namespace

std::unique_ptr<Source> read_voted(Config& node, const TextSettings& settings) { return over<Voted>(node, settings); }
std::unique_ptr<Source> read_verdict(Config& node, const TextSettings& settings) {
  return over<Verdict>(node, settings);
}
std::unique_ptr<Source> read_judged(Config& node, const TextSettings& settings) {
  const std::string judge = node.get<std::string>("by");
  lookup(settings.setup.roles, Call{judge, {}, node.child("by").where()}, "role");
  return over<Judged>(node, settings, judge);
}

}  // namespace retort
