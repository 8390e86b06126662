// distill/objectives/tables/label_discrepancies.cpp -- comparisons of class logits with labels, given or made.
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/create.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/losses.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "distill/objectives/tables/entries.h"

namespace retort {

namespace {
/// f(y), or lambda f(y) + (1 - lambda) f(y2) of mixed images.
Tensor for_labels(const Batch& batch, const std::function<Tensor(const Tensor& labels)>& f) {
  const Tensor first = f(batch.y);
  if (!batch.y2.defined()) return first;
  const Tensor lambda = cast(batch.lambda, first.dtype());
  return lambda * first + (1.0 - lambda) * f(batch.y2);
}

Discrepancy make_ce(TableArgs& args) {
  const double smoothing = args.number("smoothing", 0.0, {.min = 0, .max = 1});
  Discrepancy d;
  d.labels = true;
  d.formula = "-log softmax(z)_y";
  d.value = [smoothing](const Comparison& c) {
    const Tensor z = rows(c.pred);
    return for_labels(c.batch, [&](const Tensor& y) { return cross_entropy(z, y, smoothing); });
  };
  return d;
}

/// Class and view as one label, y M + j for the j-th of M predictions (SLA, Lee et al. 2020), averaged over views.
Discrepancy make_joint_ce(TableArgs&) {
  Discrepancy d;
  d.labels = true;
  d.lists = true;
  d.formula = "mean_j -log softmax(z_j)_(y M + j)";
  d.value = [](const Comparison& c) {
    const auto views = static_cast<double>(c.preds.size());
    const auto all_views = [&](const Tensor& y) {
      Tensor total;
      for (std::size_t j = 0; j < c.preds.size(); ++j) {
        const Tensor joint = where(less(y, scalar_like(y, 0)), y, y * views + static_cast<double>(j));
        const Tensor ce = cross_entropy(rows(c.preds[j]), joint);
        total = total.defined() ? total + ce : ce;
      }
      return total / views;
    };
    return for_labels(c.batch, all_views);
  };
  return d;
}

Tensor is_right(const Tensor& logits, const Tensor& y) { return equal(argmax(rows(logits), 1), y); }

/// Mean of `values` [n] where `mask`, and 1 if there is such a sample; 0 and 0 otherwise.
struct MaskedMean {
  Tensor mean, present;
  MaskedMean(const Tensor& values, const Tensor& mask) {
    const Tensor in = cast(mask, values.dtype()), count = sum(in);
    mean = sum(values * in) / maximum(count, 1.0);
    present = minimum(count, 1.0);
  }
};

/// The worst mean cross-entropy among groups of samples: which of the earlier models (targets) get them right (group
/// DRO over the groups of Zhang, Lopez-Paz, Bottou 2022).
Discrepancy make_worst_group_ce(TableArgs&) {
  Discrepancy d;
  d.scope = Scope::batch;
  d.lists = true;
  d.formula = "max over groups g of mean_{i in g} CE(y_i, z_i), g = which earlier models are right";
  d.value = [](const Comparison& c) {
    const Tensor ce = cross_entropy(rows(c.preds.at(0)), c.batch.y);
    Tensors groups{greater_equal(c.batch.y, scalar_like(c.batch.y, 0))};
    for (const Tensor& earlier : c.targets) {
      const Tensor right = is_right(earlier, c.batch.y);
      Tensors halves;
      for (const Tensor& g : groups) {
        halves.push_back(logical_and(g, right));
        halves.push_back(logical_and(g, logical_not(right)));
      }
      groups = std::move(halves);
    }
    Tensors means;
    for (const Tensor& g : groups) means.push_back(MaskedMean(ce, g).mean);
    return max(stack(means, 0), {0}, true);
  };
  return d;
}

/// Cross-entropy of K heads with the classes that K earlier models choose; samples on which those are all right or all
/// wrong weigh as much together as the others (Zhang, Lopez-Paz, Bottou 2022).
Discrepancy make_chosen_ce(TableArgs&) {
  Discrepancy d;
  d.scope = Scope::batch;
  d.lists = true;
  d.formula = "sum_k CE(argmax t_k, z_k), half its mean over samples all t_k agree on being right or wrong";
  d.value = [](const Comparison& c) {
    if (c.preds.size() != c.targets.size())
      throw ShapeError("chosen_ce: {} heads for {} models", c.preds.size(), c.targets.size());
    Tensor ce, right, wrong;
    for (std::size_t k = 0; k < c.preds.size(); ++k) {
      const Tensor chosen = cross_entropy(rows(c.preds[k]), argmax(rows(c.targets[k]), 1));
      const Tensor is = is_right(c.targets[k], c.batch.y);
      ce = k == 0 ? chosen : ce + chosen;
      right = k == 0 ? is : logical_and(right, is);
      wrong = k == 0 ? logical_not(is) : logical_and(wrong, logical_not(is));
    }
    const Tensor agree = logical_or(right, wrong);
    const MaskedMean a(ce, agree), b(ce, logical_not(agree));
    return reshape((a.mean + b.mean) / (a.present + b.present), {1});
  };
  return d;
}
/// How far two networks' distances from the label are apart: a label of one number for each image and view (NRR-DD,
/// Tran et al. 2025, 2503.18267).
Discrepancy make_label_gap(TableArgs&) {
  Discrepancy d;
  d.formula = "(CE(y, z) - CE(y, t))^2";
  d.value = [](const Comparison& c) {
    return square(cross_entropy(rows(c.pred), c.batch.y) - cross_entropy(rows(c.target), c.batch.y));
  };
  return d;
}
}  // namespace

const Table<Discrepancy>& label_discrepancies() {
  static const Table<Discrepancy> entries{
      {"ce", make_ce},
      {"joint_ce", make_joint_ce},
      {"worst_group_ce", make_worst_group_ce},
      {"chosen_ce", make_chosen_ce},
      {"label_gap", make_label_gap},
  };
  return entries;
}

}  // namespace retort
