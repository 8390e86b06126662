// tests/op_cases/losses.cpp -- cross entropies and divergences.
#include "autograd/ops/losses.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <thread>

#include "autograd/ops/arithmetic.h"
#include "autograd/tape.h"
#include "tensor/cpu/scratch.h"
#include "tests/op_case.h"

using namespace retort;
using namespace retort::testing;

namespace {
const double kInf = std::numeric_limits<double>::infinity();
using Row = std::vector<double>;

/// softmax(x / T) of one row, straight from the definition.
Row probabilities(const double* x, std::size_t n, double temperature = 1) {
  Row p(n);
  for (std::size_t i = 0; i < n; ++i) {
    double total = 0;
    for (std::size_t j = 0; j < n; ++j) total += x[j] == -kInf ? 0.0 : std::exp((x[j] - x[i]) / temperature);
    p[i] = x[i] == -kInf ? 0.0 : 1.0 / total;
  }
  return p;
}
double kl(const Row& p, const Row& q) {
  double total = 0;
  for (std::size_t i = 0; i < p.size(); ++i) total += p[i] == 0 ? 0.0 : p[i] * std::log(p[i] / q[i]);
  return total;
}
Row mixed(double share, const Row& p, const Row& q) {
  Row m(p.size());
  for (std::size_t i = 0; i < p.size(); ++i) m[i] = share * p[i] + (1 - share) * q[i];
  return m;
}

/// One value per row from f(student probabilities, teacher probabilities).
Function per_row(std::function<double(const Row&, const Row&)> f, Temperatures t = {}) {
  return [f, t](In in) {
    const Row s = in[0].values(), q = in[1].values();
    const auto n = static_cast<std::size_t>(in[0].size(-1));
    Row out;
    for (std::size_t at = 0; at < s.size(); at += n)
      out.push_back(f(probabilities(&s[at], n, t.student), probabilities(&q[at], n, t.teacher)));
    Shape shape = in[0].shape();
    shape.erase(shape.rank() - 1);
    return Tensors{Tensor::from(out, shape, DType::f64)};
  };
}

/// Losses are f32 for 16-bit logits: in the harness they take the logits' dtype, so that one bound fits all.
using Loss = std::function<Tensor(const Tensor&, const Tensor&)>;
Function in_dtype(Loss f) {
  return [f](In in) { return Tensors{cast(f(in[0], in[1]), in[0].dtype())}; };
}

Tensor f64(Row v, const Shape& shape) { return Tensor::from(v, shape, DType::f64); }
/// Logits of which each row has entries of -infinity: for the student, or for both.
Tensor padded(std::uint64_t seed) {
  Row v = randn({3, 6}, seed).values();
  for (std::size_t row = 0; row < 3; ++row) v[row * 6 + 5] = v[row * 6 + 3] = -kInf;
  return f64(v, {3, 6});
}

struct NamedDivergence {
  std::string label;
  Loss fn;
  std::function<double(const Row&, const Row&)> naive;
};
std::vector<NamedDivergence> divergences(Temperatures t) {
  return {
      {"kl_forward", [t](auto& s, auto& q) { return kl_forward(s, q, t); }, [](auto& s, auto& q) { return kl(q, s); }},
      {"kl_reverse", [t](auto& s, auto& q) { return kl_reverse(s, q, t); }, [](auto& s, auto& q) { return kl(s, q); }},
      {"js", [t](auto& s, auto& q) { return js(s, q, 0.3, t); },
       [](auto& s, auto& q) {
         const Row m = mixed(0.3, q, s);
         return 0.3 * kl(q, m) + 0.7 * kl(s, m);
       }},
      {"jeffreys", [t](auto& s, auto& q) { return jeffreys(s, q, t); },
       [](auto& s, auto& q) { return kl(s, q) + kl(q, s); }},
      {"tv", [t](auto& s, auto& q) { return tv(s, q, t); },
       [](auto& s, auto& q) {
         double common = 0;
         for (std::size_t i = 0; i < s.size(); ++i) common += std::min(s[i], q[i]);
         return 1 - common;
       }},
      {"skew_forward", [t](auto& s, auto& q) { return skew_forward(s, q, 0.1, t); },
       [](auto& s, auto& q) { return kl(q, mixed(0.1, q, s)); }},
      {"skew_reverse", [t](auto& s, auto& q) { return skew_reverse(s, q, 0.1, t); },
       [](auto& s, auto& q) { return kl(s, mixed(0.1, s, q)); }},
  };
}

/// Both rows with all but the k outcomes that are likeliest in `by` merged into one.
std::pair<Row, Row> top_outcomes(Row s, Row t, const Row& by, std::size_t k) {
  std::vector<std::size_t> order(by.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](std::size_t i, std::size_t j) { return by[i] > by[j]; });
  Row a(k + 1), b(k + 1);
  for (std::size_t rank = 0; rank < order.size(); ++rank) {
    a[std::min(rank, k)] += s[order[rank]];
    b[std::min(rank, k)] += t[order[rank]];
  }
  return {a, b};
}
DivergenceAttrs described(DivergenceKind kind, double mix = 0.5, std::int64_t top_k = 0) {
  return {.kind = kind, .mix = mix, .top_k = top_k};
}

/// -sum target log p with the target spelled out; labels are in[1].
Function naive_cross_entropy(double smoothing) {
  return [smoothing](In in) {
    const Row x = in[0].values(), labels = in[1].values();
    const auto n = static_cast<std::size_t>(in[0].size(-1));
    Row out;
    for (std::size_t at = 0; at < x.size(); at += n) {
      const Row p = probabilities(&x[at], n);
      double present = 0, value = 0;
      for (double v : p) present += v > 0 ? 1 : 0;
      for (std::size_t c = 0; c < n; ++c) {
        const double target =
            (static_cast<double>(c) == labels[at / n] ? 1 - smoothing : 0) + (p[c] > 0 ? smoothing / present : 0);
        value -= target == 0 ? 0 : target * std::log(p[c]);
      }
      out.push_back(labels[at / n] == -1 ? 0 : value);
    }
    return Tensors{Tensor::from(out, in[1].shape(), DType::f64)};
  };
}
Sample cross_entropy_of(const Tensor& logits, const Tensor& labels, double smoothing) {
  return {{logits, labels},
          in_dtype([smoothing](auto& x, auto& y) { return cross_entropy(x, y, smoothing); }),
          naive_cross_entropy(smoothing)};
}
Tensor labels_of(std::vector<std::int64_t> v, const Shape& shape) { return Tensor::of<std::int64_t>(v, shape); }
}  // namespace

OP_CASE(divergence) {
  c.covers = {"divergence", "divergence_backward"};
  for (const Temperatures t : {Temperatures{1, 1}, Temperatures{2, 3}})
    for (const NamedDivergence& d : divergences(t)) {
      c.samples.push_back({{randn({2, 4}), randn({2, 4}, 2)}, in_dtype(d.fn), per_row(d.naive, t), d.label});
      if (t.student == 1) c.samples.push_back({{padded(1), padded(2)}, in_dtype(d.fn), per_row(d.naive, t), d.label});
    }
  const NamedDivergence kl_f = divergences({})[0], js_3 = divergences({})[2], tv_1 = divergences({})[4];
  c.samples.push_back({{padded(1), randn({3, 6}, 2)}, in_dtype(tv_1.fn), per_row(tv_1.naive)});
  c.samples.push_back({{padded(1), randn({3, 6}, 2)}, in_dtype(js_3.fn), per_row(js_3.naive)});
  c.samples.push_back({{randn({3, 6}), padded(2)}, in_dtype(kl_f.fn), per_row(kl_f.naive)});
  c.samples.push_back({{randn({0, 5}), randn({0, 5})}, in_dtype(kl_f.fn), per_row(kl_f.naive)});
  c.samples.push_back({{randn({7}), randn({7}, 2)}, in_dtype(kl_f.fn), per_row(kl_f.naive)});
  c.samples.push_back({{randn({2, 3, 5}), randn({2, 3, 5}, 2)}, in_dtype(js_3.fn), per_row(js_3.naive)});
  c.samples.push_back({{randn({67, 1031}), randn({67, 1031}, 2)}, in_dtype(kl_f.fn), per_row(kl_f.naive)});
  c.linear_order = false;
  c.errors = {{"js: beta lies in (0, 1); got 1",
               [] {
                 js(randn({2, 3}), randn({2, 3}), 1.0);
               }},
              {"kl_forward: temperatures must be positive",
               [] {
                 kl_forward(randn({2, 3}), randn({2, 3}), {0, 1});
               }},
              {"skew_forward: the share of a mixture",
               [] {
                 skew_forward(randn({2, 3}), randn({2, 3}), 0);
               }},
              {"divergence: both inputs must have one shape",
               [] {
                 tv(randn({2, 3}), randn({2, 4}));
               }},
              {"divergence: f64 goes with f64 alone",
               [] {
                 tv(randn({2, 3}), cast(randn({2, 3}), DType::f32));
               }},
              {"divergence: logits must be [..., C] with C > 0", [] {
                 tv(randn({2, 0}), randn({2, 0}));
               }}};
}

OP_CASE(divergence_of_top_outcomes) {
  c.covers = {"divergence", "divergence_backward"};
  const auto add = [&c](DivergenceKind kind, std::size_t index, double mix, std::size_t k, const Tensor& s,
                        const Tensor& t) {
    const auto naive = divergences({})[index].naive;
    const DivergenceAttrs d = described(kind, mix, static_cast<std::int64_t>(k));
    c.samples.push_back({{s, t},
                         in_dtype([d](auto& a, auto& b) { return divergence(d, a, b); }),
                         per_row([naive, k](const Row& p, const Row& q) {
                           const auto [a, b] = top_outcomes(p, q, q, k);
                           return naive(a, b);
                         })});
  };
  add(DivergenceKind::kl_forward, 0, 0.5, 2, randn({2, 5}), randn({2, 5}, 2));
  add(DivergenceKind::kl_reverse, 1, 0.5, 2, randn({2, 5}), randn({2, 5}, 2));
  add(DivergenceKind::js, 2, 0.3, 1, randn({2, 4}), randn({2, 4}, 2));
  add(DivergenceKind::jeffreys, 3, 0.5, 3, randn({2, 4}), randn({2, 4}, 2));
  add(DivergenceKind::tv, 4, 0.5, 2, randn({2, 5}), randn({2, 5}, 2));
  add(DivergenceKind::skew_forward, 5, 0.1, 2, randn({2, 5}), randn({2, 5}, 2));
  add(DivergenceKind::skew_reverse, 6, 0.9, 2, randn({2, 5}), randn({2, 5}, 2));
  add(DivergenceKind::kl_forward, 0, 0.5, 2, padded(1), padded(2));
  add(DivergenceKind::kl_forward, 0, 0.5, 50, randn({3, 1031}), randn({3, 1031}, 2));
  c.linear_order = false;
  c.errors = {{"divergence: top_k must leave some of the 3 classes as the tail; got 3",
               [] {
                 divergence(described(DivergenceKind::tv, 0.5, 3), randn({2, 3}), randn({2, 3}));
               }},
              {"divergence: top_k is positive, or 0", [] {
                 divergence(described(DivergenceKind::tv, 0.5, -1), randn({2, 3}), randn({2, 3}));
               }}};
}

namespace {
/// The harness' inputs: hidden, weight, bias of the student, then of the teacher; biases may be left out.
Sample heads(const Shape& rows, std::int64_t classes, DivergenceAttrs d,
             std::function<double(const Row&, const Row&)> f, bool bias) {
  const auto shape_of = [&](std::int64_t width) {
    Shape s = rows;
    s.push_back(width);
    return s;
  };
  Tensors in{randn(shape_of(3)), randn({classes, 3}, 2), randn(shape_of(5), 3), randn({classes, 5}, 4)};
  if (bias) {
    in.push_back(randn({classes}, 5));
    in.push_back(randn({classes}, 6));
  }
  const auto absent = [](In x, std::size_t i) { return x.size() > i ? x[i] : Tensor(); };
  const auto logits = [](const Tensor& h, const Tensor& w, const Tensor& b) {
    const Row x = h.values(), weight = w.values(), shift = b.defined() ? b.values() : Row();
    const auto d_in = static_cast<std::size_t>(w.size(1)), n = static_cast<std::size_t>(w.size(0));
    Row out;
    for (std::size_t r = 0; r + d_in <= x.size(); r += d_in)
      for (std::size_t c = 0; c < n; ++c) {
        double sum = shift.empty() ? 0 : shift[c];
        for (std::size_t k = 0; k < d_in; ++k) sum += x[r + k] * weight[c * d_in + k];
        out.push_back(sum);
      }
    return out;
  };
  return {in,
          [d, absent](In x) {
            const Tensor y = linear_divergence(d, {x[0], x[1], absent(x, 4)}, {x[2], x[3], absent(x, 5)});
            return Tensors{cast(y, x[0].dtype())};
          },
          [=](In x) {
            const Row s = logits(x[0], x[1], absent(x, 4)), t = logits(x[2], x[3], absent(x, 5));
            const auto n = static_cast<std::size_t>(classes);
            Row out;
            for (std::size_t at = 0; at < s.size(); at += n)
              out.push_back(f(probabilities(&s[at], n), probabilities(&t[at], n)));
            return Tensors{Tensor::from(out, rows, DType::f64)};
          }};
}
}  // namespace

OP_CASE(linear_divergence) {
  c.covers = {"linear_divergence", "linear_divergence_backward"};
  const std::vector<NamedDivergence> d = divergences({});
  c.samples = {heads({4}, 5, described(DivergenceKind::kl_forward), d[0].naive, false),
               heads({2, 2}, 4, described(DivergenceKind::kl_reverse), d[1].naive, true),
               heads({3}, 4, described(DivergenceKind::js, 0.3), d[2].naive, true),
               heads({0}, 4, described(DivergenceKind::kl_forward), d[0].naive, true),
               heads(
                   {2}, 5, described(DivergenceKind::kl_forward, 0.5, 2),
                   [f = d[0].naive](const Row& p, const Row& q) {
                     const auto [a, b] = top_outcomes(p, q, q, 2);
                     return f(a, b);
                   },
                   false),
               heads({67}, 1031, described(DivergenceKind::skew_reverse, 0.9), d[6].naive, true)};
  c.linear_order = false;
  c.errors = {
      {"linear_divergence: a head's hidden and weight differ in width",
       [] {
         linear_divergence({}, {randn({2, 3}), randn({4, 2})}, {randn({2, 3}), randn({4, 3})});
       }},
      {"linear_divergence: both heads must give logits of one shape",
       [] {
         linear_divergence({}, {randn({2, 3}), randn({4, 3})}, {randn({2, 3}), randn({5, 3})});
       }},
      {"linear_divergence: temperatures must be positive", [] {
         linear_divergence({.student_temperature = 0}, {randn({2, 3}), randn({4, 3})}, {randn({2, 3}), randn({4, 3})});
       }}};
}

OP_CASE(cross_entropy) {
  c.covers = {"cross_entropy", "cross_entropy_backward"};
  c.samples = {cross_entropy_of(randn({3, 4}), labels_of({1, -1, 3}, {3}), 0.1),
               cross_entropy_of(randn({3, 4}), labels_of({1, -1, 3}, {3}), 0),
               cross_entropy_of(padded(1), labels_of({0, 4, 2}, {3}), 0.2),
               cross_entropy_of(f64({300, -300, 299, 298}, {2, 2}), labels_of({0, 1}, {2}), 0),
               cross_entropy_of(randn({5}), labels_of({2}, {}), 0),
               cross_entropy_of(randn({0, 5}), labels_of({}, {0}), 0),
               cross_entropy_of(randn({2, 3, 5}), randint({2, 3}, 5), 0.1),
               cross_entropy_of(randn({67, 1031}), randint({67}, 1031), 0.1)};
  c.errors = {{"cross_entropy: labels lie in [0, 3); got 3",
               [] {
                 cross_entropy(randn({2, 3}), labels_of({0, 3}, {2}));
               }},
              {"cross_entropy: labels must be [2]",
               [] {
                 cross_entropy(randn({2, 3}), labels_of({0}, {1}));
               }},
              {"cross_entropy: labels must be i64",
               [] {
                 cross_entropy(randn({2, 3}), randn({2}));
               }},
              {"cross_entropy: label_smoothing lies in [0, 1)", [] {
                 cross_entropy(randn({1, 3}), labels_of({0}, {1}), 1.0);
               }}};
}

OP_CASE(soft_cross_entropy) {
  c.covers = {"soft_cross_entropy", "soft_cross_entropy_backward"};
  c.fn = in_dtype([](auto& x, auto& q) { return soft_cross_entropy(x, q); });
  c.naive = [](In in) {
    const Row x = in[0].values(), q = in[1].values();
    const auto n = static_cast<std::size_t>(in[0].size(-1));
    Row out;
    for (std::size_t at = 0; at < x.size(); at += n) {
      const Row p = probabilities(&x[at], n);
      double value = 0;
      for (std::size_t i = 0; i < n; ++i) value -= q[at + i] == 0 ? 0 : q[at + i] * std::log(p[i]);
      out.push_back(value);
    }
    Shape shape = in[0].shape();
    shape.erase(shape.rank() - 1);
    return Tensors{Tensor::from(out, shape, DType::f64)};
  };
  c.samples = {{{randn({2, 4}), uniform({2, 4}, 0.1, 1)}},
               {{randn({2, 3, 5}), uniform({2, 3, 5}, 0, 1)}},
               {{f64({1, -kInf, 2, 0.5, 1, -kInf}, {2, 3}), f64({0.5, 0, 0.5, 0, 1, 0}, {2, 3})}},
               {{randn({67, 1031}), uniform({67, 1031}, 0, 1)}}};
  c.errors = {{"soft_cross_entropy: both inputs must have one shape", [] {
                 soft_cross_entropy(randn({2, 3}), randn({3}));
               }}};
}

namespace {
/// Forward and backward; to be called in a thread of its own, whose scratch no other test has touched.
void check_linear_divergence_memory(Device device, std::int64_t rows) {
  Ref<MemoryAccount> account(new MemoryAccount);
  const MemoryScope scope(account);
  const std::int64_t width = device == kMeta ? 576 : 8, classes = 49152;
  const Tensor hidden = Tensor::full({rows, width}, 0.1, DType::f32, device);
  const Tensor weight = Tensor::full({classes, width}, 0.1, DType::f32, device);
  const Tensor cot = Tensor::full({rows}, 1, DType::f32, device);
  const std::int64_t given = account->current(), gradients = given - cot.numel() * 4;
  const Tensor in[] = {hidden, weight};
  const bool wants[] = {true, true};
  const auto loss = [&](In x) { return Tensors{linear_divergence({}, {x[0], x[1]}, {hidden, weight})}; };
  const Tensors g = pull_back(loss, In(in), std::span(&cot, 1), std::span<const bool>(wants));
  CHECK(account->peak() - given - gradients <= std::int64_t{64} << 20);
  CHECK(account->peak() >= given + gradients);
  CHECK(cpu::scratch_stats().peak <= std::int64_t{64} << 20);
}
}  // namespace

TEST_CASE("linear divergence: 49,152 classes take at most 64 MB beside inputs, output and gradients") {
  std::thread([] { check_linear_divergence_memory(kMeta, 2048); }).join();
  std::thread([] { check_linear_divergence_memory(kCpu, 160); }).join();
}
