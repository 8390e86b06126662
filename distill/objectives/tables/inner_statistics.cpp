// distill/objectives/tables/inner_statistics.cpp -- what of the synthetic set and of real data is compared.
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/create.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/index.h"
#include "autograd/ops/linalg.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "distill/data/clusters.h"
#include "distill/objectives/inner.h"
#include "distill/objectives/match.h"
#include "distill/objectives/tables/entries.h"

namespace retort {

namespace {
Tensor plus(const Tensor& a, const Tensor& b) { return a.defined() ? a + b : b; }

/// One class of both sides, changed alike.
struct ClassData {
  Examples real, syn;
};

Examples chosen(const Examples& all, const Tensor& rows) {
  const auto pick = [&](const Tensor& t) { return t.defined() ? index_select(t, 0, rows) : t; };
  return {pick(all.x), pick(all.label), pick(all.target)};
}

/// The view of one side; both sides of class `number` see one draw when it is siamese. As the state dsa(..) of other
/// terms sees it where classes are not apart.
Tensor seen(const InnerData& in, const Tensor& x, std::size_t number) {
  const InnerProblem& p = in.problem;
  if (!p.view) return x;
  const RngKey key = p.pass.rng.stream("dsa", p.pass.step, static_cast<std::uint32_t>(number));
  return (*p.view)(x, key, x.meta() ? Tensor() : arange(x.size(0)));
}

/// How the images of both sides are put together: per=class|batch select=N tap=head:in.
struct Grouping {
  bool per_class = true;
  std::int64_t clusters = 0;  ///< of the real images of a class, only those at the centres of so many count; 0: all
  TapId tap;                  ///< whose values are clustered
};

Grouping parse_grouping(TableArgs& args, const TapId& tap) {
  const Call given{args.word("per", "class"), {}, "per"};
  Grouping g;
  g.per_class = lookup(std::map<std::string, bool>{{"class", true}, {"batch", false}}, given, "group");
  g.clusters = args.integer("select", 0, {.min = 0});
  g.tap = tap;
  return g;
}

/// The rows that represent a class best (DREAM, Liu et al. 2023, 2302.14416).
Tensor representative(const InnerData& in, const Tensor& rows, const Grouping& g, std::size_t number) {
  if (g.clusters == 0 || g.clusters >= rows.numel() || rows.meta()) return rows;
  const InnerProblem& p = in.problem;
  const Tensor x = index_select(in.real.x, 0, rows);
  const Tensor f = stop_gradient(p.net.taps(in.solution.weights.back(), x, {g.tap})[0]);
  const RngKey key = p.pass.rng.stream(p.stream + "/clusters", p.pass.step, static_cast<std::uint32_t>(number));
  const auto chosen = nearest_to_centroids(reshape(f, {x.size(0), -1}), g.clusters, key);
  return index_select(rows, 0, Tensor::of<std::int64_t>(chosen, {static_cast<std::int64_t>(chosen.size())}));
}

/// Class after class, those that both sides have; or all of them as one.
std::vector<ClassData> classes_of(const InnerData& in, const Grouping& grouping) {
  const SetRows rows = in.problem.rows({});
  const Examples syn{rows.x, rows.label, rows.target};
  std::vector<ClassData> list;
  const auto add = [&](const Examples& real, const Examples& own) {
    list.push_back({real, own});
    list.back().real.x = seen(in, real.x, list.size());
    list.back().syn.x = seen(in, own.x, list.size());
  };
  if (!grouping.per_class) {
    add(in.real, syn);
    return list;
  }
  const auto real_rows = rows_by_class(in.real.label, in.problem.set.config.classes);
  const auto syn_rows = rows_by_class(syn.label, in.problem.set.config.classes);
  for (std::size_t c = 0; c < real_rows.size(); ++c)
    if (real_rows[c].defined() && syn_rows[c].defined())
      add(chosen(in.real, representative(in, real_rows[c], grouping, c)), chosen(syn, syn_rows[c]));
  return list;
}

/// Gradients of the inner loss in the weights, layer by layer (Zhao, Mopuri, Bilen 2021, 2006.05929).
InnerStatistic make_grad(TableArgs& args) {
  const Call of{args.word("of", "all"), {}, "of"};
  const bool kernels = lookup(std::map<std::string, bool>{{"all", false}, {"kernels", true}}, of, "choice of weights");
  const Grouping split = parse_grouping(args, TapId{"head", "in"});
  return {[=](const InnerData& in) {
    const InnerProblem& p = in.problem;
    const Tensors& weights = in.solution.weights.back();
    std::vector<InnerPairs> groups;
    for (const ClassData& c : classes_of(in, split)) {
      const Tensors real = inner_gradient(p.loss, p.net, weights, c.real);
      const Tensors own = inner_gradient(p.loss, p.net, weights, c.syn);
      InnerPairs pairs;
      for (std::size_t i = 0; i < own.size(); ++i)
        if (!kernels || own[i].rank() >= 2) pairs.push_back({own[i], stop_gradient(real[i]), {}});
      groups.push_back(std::move(pairs));
    }
    return groups;
  }};
}

/// Rows of features [m, d] of a tap.
Tensor features(const InnerData& in, const Tensor& x, const TapId& tap) {
  return reshape(in.problem.net.taps(in.solution.weights.back(), x, {tap})[0], {x.size(0), -1});
}

/// Mean features of each class (Zhao and Bilen 2023, 2110.04181).
InnerStatistic make_feature_mean(TableArgs& args) {
  const TapId tap = parse_tap(args.word("tap", "head:in"));
  const Grouping split = parse_grouping(args, tap);
  return {[=](const InnerData& in) {
    std::vector<InnerPairs> groups;
    for (const ClassData& c : classes_of(in, split)) {
      const Tensor own = mean(features(in, c.syn.x, tap), {0});
      groups.push_back({{own, stop_gradient(mean(features(in, c.real.x, tap), {0})), {}}});
    }
    return groups;
  }};
}

/// [n, d] -> [2, count]: real and imaginary part of the mean of exp(i t f) over rows, f of unit length.
Tensor characteristic(const Tensor& f, const Tensor& t) {
  const Tensor unit = f / sqrt(maximum(sum(square(f), {1}, true), 1e-24));
  const Tensor angle = matmul(unit, t, false, true);
  return stack(Tensors{mean(cos(angle), {0}), mean(sin(angle), {0})}, 0);
}

/// Characteristic functions of the features of each class at normal frequencies (Wang et al. 2025, 2502.20653).
InnerStatistic make_cf(TableArgs& args) {
  const auto count = args.integer("count", {.min = 1});
  const TapId tap = parse_tap(args.word("tap", "head:in"));
  const Grouping split = parse_grouping(args, tap);
  return {[=](const InnerData& in) {
    const InnerProblem& p = in.problem;
    std::vector<InnerPairs> groups;
    for (const ClassData& c : classes_of(in, split)) {
      const Tensor own = features(in, c.syn.x, tap), real = stop_gradient(features(in, c.real.x, tap));
      const Shape shape{count, own.size(1)};
      Tensor t = Tensor::empty(shape, own.dtype(), own.device());
      if (!own.meta()) {
        std::vector<double> values(static_cast<std::size_t>(shape.product()));
        fill_normal(std::span<double>(values), p.pass.rng.stream(p.stream + "/frequencies", p.pass.step),
                    groups.size());
        t = Tensor::from(values, shape, own.dtype());
      }
      groups.push_back({{characteristic(own, t), characteristic(real, t), {}}});
    }
    return groups;
  }};
}

/// All weights after training on the set, against those of an expert that saw real data (Cazenavette et al. 2022,
/// 2203.11932). Several goals are reached one after the other.
InnerStatistic make_params(TableArgs&) {
  return {[](const InnerData& in) {
    if (in.goals.empty()) throw ConfigError("{}: the statistic params needs a goal", in.problem.stream);
    std::vector<InnerPairs> groups;
    const Tensors& start = in.start;
    for (std::size_t g = 0; g < in.goals.size(); ++g) {
      InnerPairs pairs;
      for (std::size_t i = 0; i < start.size(); ++i)
        pairs.push_back({in.solution.weights.at(g)[i], in.goals[g][i], start[i]});
      groups.push_back(std::move(pairs));
    }
    return groups;
  }};
}

/// Mean and biased variance of what goes into each batch norm, against its running statistics; both of the first layer
/// multiplied by `first` (Yin, Shen, Xing 2023, 2306.13092).
InnerStatistic make_bn(TableArgs& args) {
  const double first = args.number("first", 1.0, {.min = 0});
  const auto groups = [first](const InnerData& in) {
    const InnerProblem& p = in.problem;
    std::map<std::string, Tensor> running;
    std::vector<TapId> inputs;
    constexpr std::string_view kMean = ".running_mean";
    for (const NamedBuffer& b : buffers_of(*p.net.role().model)) {
      running[b.name] = b.buffer->value;
      if (b.name.ends_with(kMean)) inputs.push_back({b.name.substr(0, b.name.size() - kMean.size()), "in"});
    }
    if (inputs.empty()) throw ConfigError("{}: role {} has no batch norm", p.stream, p.net.role().name);
    const Tensor x = seen(in, p.rows({}).x, 0);
    const Tensors values = p.net.taps(p.net.weights(), x, inputs);
    InnerPairs pairs;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      const double w = i == 0 ? first : 1;
      const auto stored = [&](const char* what) { return cast(running.at(inputs[i].path + what), x.dtype()) * w; };
      pairs.push_back({mean(values[i], {0, 2, 3}) * w, stored(".running_mean"), {}});
      pairs.push_back({var(values[i], {0, 2, 3}) * w, stored(".running_var"), {}});
    }
    return std::vector<InnerPairs>{pairs};
  };
  return {groups, false};
}

/// How the sum of the logits leans on each pixel of the real images, its norm over channels, against 1 (the penalty of
/// smooth experts, AST, Shen et al. 2023, 2310.10541). For a net that is trained.
InnerStatistic make_input_gradient(TableArgs&) {
  return {[](const InnerData& in) {
    Tape tape;
    const Tensor x = tape.watch(in.real.x);
    const Tensor total = sum(in.problem.net.logits(in.problem.net.weights(), x));
    const Tensor g = tape.gradients(total, std::span(&x, 1))[0];
    const Tensor size = sqrt(maximum(sum(square(g), {1}), 1e-24));
    return std::vector<InnerPairs>{{{size, size * 0.0 + 1.0, {}}}};
  }};
}

/// Weights and the direction in which they go to flat minima: with g the gradient on real images and e = rho w^2 g /
/// ||w g||, p = grad(w + e) less alpha times the part of g across p (GSAM, as FTD trains experts, Du et al. 2023,
/// 2211.11004). Their `dot` has that direction as its gradient.
InnerStatistic make_flat(TableArgs& args) {
  const double rho = args.number("rho", {.min = 0}), alpha = args.number("alpha", {.min = 0});
  return {[=](const InnerData& in) {
    const InnerProblem& p = in.problem;
    Examples data = in.real;
    data.x = seen(in, data.x, 0);
    Tensors w, moved;
    for (const Tensor& t : p.net.weights()) w.push_back(stop_gradient(t));
    const Tensors g = inner_gradient(p.loss, p.net, w, data);
    Tensor norm;
    for (std::size_t i = 0; i < w.size(); ++i) norm = plus(norm, sum(square(w[i] * g[i])));
    norm = sqrt(maximum(norm, 1e-24));
    for (std::size_t i = 0; i < w.size(); ++i) moved.push_back(w[i] + square(w[i]) * g[i] * rho / norm);
    const Tensors gp = inner_gradient(p.loss, p.net, moved, data);
    Tensor along, own;
    for (std::size_t i = 0; i < w.size(); ++i) {
      along = plus(along, sum(g[i] * gp[i]));
      own = plus(own, sum(square(gp[i])));
    }
    const Tensor share = along / maximum(own, 1e-24);
    InnerPairs pairs;
    for (std::size_t i = 0; i < w.size(); ++i)
      pairs.push_back({p.net.weights()[i], stop_gradient(gp[i] - (g[i] - gp[i] * share) * alpha), {}});
    return std::vector<InnerPairs>{pairs};
  }};
}

/// The solution's answers to real images, against their labels (one-hot, less 1 / K when centred) or a role's answers.
InnerStatistic make_prediction(TableArgs& args) {
  const std::string target = args.word("target", "label");
  const bool labels = target == "label" || target == "centred";
  const auto groups = [=](const InnerData& in) {
    const Tensor own = in.solution.predict(in.real.x);
    const std::int64_t classes = own.size(1);
    Tensor wanted = labels ? one_hot(in.real.label, classes, own.dtype()) : cast(in.answer(target), own.dtype());
    if (target == "centred") wanted = wanted - 1.0 / static_cast<double>(classes);
    return std::vector<InnerPairs>{{{own, wanted, {}}}};
  };
  return {groups, true, labels ? "" : target};
}
}  // namespace

InnerStatistic make_inner_statistic(const Call& call, const NumberMap& numbers) {
  static const std::map<std::string, InnerStatistic (*)(TableArgs&), std::less<>> entries{
      {"grad", make_grad},
      {"feature_mean", make_feature_mean},
      {"cf", make_cf},
      {"params", make_params},
      {"bn", make_bn},
      {"prediction", make_prediction},
      {"input_gradient", make_input_gradient},
      {"flat", make_flat}};
  TableArgs args(with_numbers(call, numbers), numbers);
  InnerStatistic statistic = lookup(entries, call, "statistic")(args);
  args.done();
  return statistic;
}

}  // namespace retort
