#include "distill/objectives/tables/views.h"

#include "distill/train/call.h"
#include "tensor/error.h"

namespace retort {

namespace {
/// What stands before the response instead of the prompt, for row b.
using Context = std::function<TokenIds(const Batch& batch, const Text& text, std::int64_t b)>;

const Tensor& told(const Batch& batch, const std::string& name) {
  return lookup(batch.more, Call{"told." + name, {}, "view"}, "context of the texts");
}

TokenIds joined(std::initializer_list<TokenIds> parts) {
  TokenIds all;
  for (const TokenIds& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

/// A view whose rows are a context and the response; `extra` says by how much a row may grow.
TextView in_context(Context context, std::function<std::int64_t(const Batch&)> extra) {
  const auto all = [context, extra](const Batch& batch) -> ViewedTexts {
    const std::int64_t n = batch.size(), width = batch.x.size(1), wide = width + extra(batch);
    if (batch.x.meta())
      return {Tensor::empty({n, wide}, DType::i64, kMeta), Tensor::empty({n, width}, DType::i64, kMeta)};
    std::vector<std::int64_t> tokens, at;
    const std::vector<Text> texts = texts_of(batch);
    for (std::int64_t b = 0; b < n; ++b) {
      const Text& text = texts[static_cast<std::size_t>(b)];
      const TokenIds head = context(batch, text, b), row = joined({head, text.response});
      const auto size = static_cast<std::int64_t>(row.size());
      if (size > wide) throw ShapeError("view: row {} has {} tokens, of at most {}", b, size, wide);
      tokens.insert(tokens.end(), row.begin(), row.end());
      tokens.insert(tokens.end(), static_cast<std::size_t>(wide - size), 0);
      const auto prompt = static_cast<std::int64_t>(text.prompt.size());
      for (std::int64_t t = 0; t < width; ++t) {
        const bool own = t >= prompt && t < prompt + static_cast<std::int64_t>(text.response.size());
        at.push_back(own ? t - prompt + static_cast<std::int64_t>(head.size()) : 0);
      }
    }
    return {Tensor::of<std::int64_t>(tokens, {n, wide}), Tensor::of<std::int64_t>(at, {n, width})};
  };
  return {all, std::move(context), std::move(extra)};
}

TextView make_told(CallArgs& args) {
  const std::string name = args.word("context"), at = args.word("at", "end");
  if (at != "end" && at != "start")
    throw ConfigError("told: a context stands at the start or at the end of the prompt; got {}", at);
  const bool first = at == "start";
  return in_context(
      [name, first](const Batch& batch, const Text& text, std::int64_t b) {
        const TokenIds context = ids_in(told(batch, name), b);
        return first ? joined({context, text.prompt}) : joined({text.prompt, context});
      },
      [name](const Batch& batch) { return told(batch, name).size(1); });
}

/// What the verifier says of a response: the context `right` where its reward is positive, else `wrong`.
struct Verdict {
  std::string right, wrong;
  explicit Verdict(CallArgs& args) : right(args.word("right", "right")), wrong(args.word("wrong", "wrong")) {}
  TokenIds operator()(const Batch& batch, std::int64_t b) const {
    const Tensor& reward = lookup(batch.more, Call{"reward", {}, "view"}, "thing known of the texts");
    return ids_in(told(batch, reward.values()[static_cast<std::size_t>(b)] > 0 ? right : wrong), b);
  }
  std::int64_t width(const Batch& batch) const {
    return std::max(told(batch, right).size(1), told(batch, wrong).size(1));
  }
};

TextView make_revise(CallArgs& args) {
  const Verdict verdict(args);
  return in_context(
      [verdict](const Batch& batch, const Text& text, std::int64_t b) {
        return joined({text.prompt, text.response, verdict(batch, b)});
      },
      [verdict](const Batch& batch) { return batch.x.size(1) + verdict.width(batch); });
}

TextView make_go_on(CallArgs&) {
  return in_context(
      [](const Batch&, const Text& text, std::int64_t) {
        return joined({text.prompt, text.response});
      },
      [](const Batch& batch) { return batch.x.size(1); });
}

TextView make_feedback(CallArgs& args) {
  const Verdict verdict(args);
  return in_context(
      [verdict](const Batch& batch, const Text& text, std::int64_t b) {
        return joined({text.prompt, verdict(batch, b)});
      },
      [verdict](const Batch& batch) { return verdict.width(batch); });
}

/// No condition: of the prompt its last token stands alone before the response.
TextView make_unprompted(CallArgs&) {
  return in_context(
      [](const Batch&, const Text& text, std::int64_t) {
        return TokenIds(text.prompt.empty() ? text.prompt.end() : text.prompt.end() - 1, text.prompt.end());
      },
      [](const Batch&) { return std::int64_t{0}; });
}

TextView make_respell(CallArgs& args) {
  const std::int64_t shift = args.integer("shift", {.min = 0}), vocab = args.integer("vocab", {.min = 1});
  const auto all = [shift, vocab](const Batch& batch) -> ViewedTexts {
    if (batch.x.meta()) return {batch.x, batch.x};
    std::vector<std::int64_t> tokens = batch.x.values<std::int64_t>(), at;
    for (std::int64_t& token : tokens) token = (token + shift) % vocab;
    const std::int64_t n = batch.size(), width = batch.x.size(1);
    for (std::int64_t i = 0; i < n * width; ++i) at.push_back(i % width);
    return {Tensor::of<std::int64_t>(tokens, batch.x.shape()), Tensor::of<std::int64_t>(at, batch.x.shape())};
  };
  return {all, {}, [](const Batch&) { return std::int64_t{0}; }};
}
}  // namespace

TextView make_view(const Call& call) {
  static const std::map<std::string, TextView (*)(CallArgs&), std::less<>> table{
      {"told", make_told},         {"go_on", make_go_on},     {"revise", make_revise},
      {"feedback", make_feedback}, {"respell", make_respell}, {"unprompted", make_unprompted}};
  CallArgs args(call);
  TextView view = lookup(table, call, "view")(args);
  args.done();
  return view;
}

std::vector<State> view_states(const std::string& name, const TextView& view) {
  State tokens{.name = name, .value = [view](const StateInput& in) { return view.texts(in.batch).tokens; }};
  State at{.name = name + "/at", .value = [view](const StateInput& in) { return view.texts(in.batch).at; }};
  return {std::move(tokens), std::move(at)};
}

}  // namespace retort
