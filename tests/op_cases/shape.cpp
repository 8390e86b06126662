// tests/op_cases/shape.cpp -- ops that rearrange elements, against a walk over logical indices.
#include "autograd/ops/shape.h"

#include "tests/op_case.h"
#include "tests/op_cases/by_index.h"

using namespace retort;
using namespace retort::testing;

namespace {
/// Row-major elements under another shape.
Function relabelled(const Shape& shape) {
  return [shape](In in) { return Tensors{Tensor::from(in[0].values(), shape, DType::f64)}; };
}
void same_values(OpCase& c) {
  c.order = 2;
  c.naive = [](In in) { return Tensors{Tensor::from(in[0].values(), in[0].shape(), DType::f64)}; };
  c.samples = {{{randn({2, 3})}}, {{randn({2, 3, 5, 7})}}, {{randn({})}}, {{randn({0, 3, 2})}}, {{randn({300, 301})}}};
}
}  // namespace

OP_CASE(contiguous) {
  same_values(c);
  c.fn = [](In in) { return Tensors{contiguous(permute(in[0], Axes::of_mask((1u << in[0].rank()) - 1)))}; };
  c.samples.push_back({{randn({3, 4})},
                       [](In in) { return Tensors{contiguous(transpose(in[0], 0, 1))}; },
                       [](In in) {
                         return Tensors{by_index({4, 3}, [&](const Dims& i) { return element(in[0], {i[1], i[0]}); })};
                       }});
}
OP_CASE(channels_last) {
  same_values(c);
  c.fn = [](In in) { return Tensors{channels_last(in[0])}; };
}

OP_CASE(reshape) {
  c.order = 2;
  const auto add = [&](const Shape& from, const Shape& to, const Shape& result) {
    c.samples.push_back({{randn(from)}, [to](In in) { return Tensors{reshape(in[0], to)}; }, relabelled(result)});
  };
  add({2, 3}, {3, 2}, {3, 2});
  add({2, 3, 5, 7}, {6, -1}, {6, 35});
  add({2, 3, 5, 7}, {2, 3, 35, 1}, {2, 3, 35, 1});
  add({1}, {}, {});
  add({0, 4}, {4, 0, 3}, {4, 0, 3});
  c.errors = {{"reshape: 6 elements do not fill [4]",
               [] {
                 reshape(randn({2, 3}), {4});
               }},
              {"reshape: 6 elements do not fill [-1, -1]", [] {
                 reshape(randn({2, 3}), {-1, -1});
               }}};
}

TEST_CASE("reshape: what can be read through other strides is not copied") {
  const auto shares = [](const Tensor& x, const Shape& to) {
    const Tensor y = reshape(x, to);
    CHECK(y.values() == x.values());
    return y.storage() == x.storage();
  };
  const Tensor cut = slice(randn({2, 3, 8}), 2, 0, 4);
  CHECK(shares(cut, {6, 4}));
  CHECK(shares(cut, {2, 3, 2, 2}));
  CHECK(shares(reshape(cut, {2, 1, 3, 1, 4}), {6, 1, 4}));
  CHECK_FALSE(shares(cut, {2, 12}));
  CHECK_FALSE(shares(transpose(cut, 0, 1), {6, 4}));
}

OP_CASE(unsqueeze_and_squeeze) {
  c.covers = {"reshape"};
  c.order = 2;
  c.samples = {{{randn({2, 3})}, [](In in) { return Tensors{unsqueeze(in[0], 1)}; }, relabelled({2, 1, 3})},
               {{randn({2, 3})}, [](In in) { return Tensors{unsqueeze(in[0], -1)}; }, relabelled({2, 3, 1})},
               {{randn({2, 1, 3})}, [](In in) { return Tensors{squeeze(in[0], 1)}; }, relabelled({2, 3})},
               {{randn({1})}, [](In in) { return Tensors{squeeze(in[0], -1)}; }, relabelled({})}};
  c.errors = {{"squeeze: axis 0 has extent 2", [] { squeeze(randn({2, 3}), 0); }}};
}

OP_CASE(broadcast_to) {
  c.order = 2;
  const auto add = [&](const Shape& from, const Shape& to) {
    c.samples.push_back({{randn(from)},
                         [to](In in) { return Tensors{broadcast_to(in[0], to)}; },
                         [to](In in) {
                           return Tensors{by_index(to, [&](const Dims& i) {
                             Dims at = in[0].shape();
                             for (int a = 0; a < at.rank(); ++a) at[a] = at[a] == 1 ? 0 : i[a + i.rank() - at.rank()];
                             return element(in[0], at);
                           })};
                         }});
  };
  add({3}, {2, 3});
  add({2, 1, 3}, {2, 4, 3});
  add({}, {5});
  add({1, 3}, {0, 3});
  c.errors = {{"broadcast_to: f64[3] on cpu does not broadcast to [3, 1]", [] { broadcast_to(randn({3}), {3, 1}); }}};
}

OP_CASE(permute) {
  c.order = 2;
  const auto add = [&](const Shape& shape, const Axes& axes) {
    c.samples.push_back({{randn(shape)},
                         [axes](In in) { return Tensors{permute(in[0], axes)}; },
                         [axes](In in) {
                           Shape out;
                           for (const int a : axes) out.push_back(in[0].size(a));
                           return Tensors{by_index(out, [&](const Dims& i) {
                             Dims at = in[0].shape();
                             int k = 0;
                             for (const int a : axes) at[a < 0 ? a + at.rank() : a] = i[k++];
                             return element(in[0], at);
                           })};
                         }});
  };
  add({2, 3}, {1, 0});
  add({2, 3, 4}, {2, 0, 1});
  add({2, 3, 5, 7}, {0, 2, 3, 1});
  add({2, 3, 5, 7}, {0, -1, 1, 2});
  add({}, {});
  c.samples.push_back(
      {{randn({3, 4, 2})},
       [](In in) { return Tensors{transpose(in[0], 0, -1)}; },
       [](In in) {
         return Tensors{by_index({2, 4, 3}, [&](const Dims& i) { return element(in[0], {i[2], i[1], i[0]}); })};
       }});
  c.errors = {{"permute: axis 0 is named twice",
               [] {
                 permute(randn({2, 3}), {0, 0});
               }},
              {"permute: needs every axis once",
               [] {
                 permute(randn({2, 3}), {0});
               }},
              {"transpose: axis 2 is outside", [] {
                 transpose(randn({2, 3}), 0, 2);
               }}};
}

OP_CASE(slice) {
  c.order = 2;
  /// `first`, `step` and `count` are the expected elements of the request.
  const auto add = [&](const Shape& shape, int axis, std::int64_t begin, std::int64_t end, std::int64_t step,
                       std::int64_t first, std::int64_t count) {
    c.samples.push_back({{randn(shape)},
                         [=](In in) { return Tensors{slice(in[0], axis, begin, end, step)}; },
                         [=](In in) {
                           Shape out = in[0].shape();
                           out[axis] = count;
                           return Tensors{by_index(out, [&](const Dims& i) {
                             Dims at = i;
                             at[axis] = first + i[axis] * step;
                             return element(in[0], at);
                           })};
                         }});
  };
  add({2, 5}, 1, 1, 4, 1, 1, 3);
  add({7, 3}, 0, 1, INT64_MAX, 2, 1, 3);
  add({2, 3, 5, 7}, 1, -2, 3, 1, 1, 2);
  add({2, 3, 5, 7}, 3, 0, -1, 3, 0, 2);
  add({4, 2}, 0, 3, 1, 1, 3, 0);
  c.samples.push_back({{randn({3, 4})},
                       [](In in) { return Tensors{select(in[0], 0, -1)}; },
                       [](In in) {
                         return Tensors{by_index({4}, [&](const Dims& i) { return element(in[0], {2, i[0]}); })};
                       }});
  c.errors = {{"slice: step must be at least 1; got -1", [] { slice(randn({3}), 0, 0, 3, -1); }},
              {"select: index 3 is outside axis 0 of extent 3", [] { select(randn({3}), 0, 3); }}};
}

OP_CASE(split) {
  c.order = 2;
  c.samples = {{{randn({2, 5})},
                [](In in) {
                  return split(in[0], std::vector<std::int64_t>{1, 0, 4}, 1);
                },
                [](In in) {
                  const auto piece = [&](std::int64_t n, std::int64_t from) {
                    return by_index({2, n}, [&](const Dims& i) { return element(in[0], {i[0], i[1] + from}); });
                  };
                  return Tensors{piece(1, 0), piece(0, 1), piece(4, 1)};
                }},
               {{randn({6, 3})},
                [](In in) { return chunk(in[0], 3, 0); },
                [](In in) {
                  const auto piece = [&](std::int64_t from) {
                    return by_index({2, 3}, [&](const Dims& i) { return element(in[0], {i[0] + from, i[1]}); });
                  };
                  return Tensors{piece(0), piece(2), piece(4)};
                }}};
  c.errors = {{"chunk: axis 0 does not divide into 4 pieces",
               [] {
                 chunk(randn({6, 3}), 4, 0);
               }},
              {"split: the pieces have 3 elements", [] {
                 split(randn({4}), std::vector<std::int64_t>{1, 2}, 0);
               }}};
}

OP_CASE(concat) {
  c.order = 2;
  const auto add = [&](const Tensors& in, int axis) {
    c.samples.push_back({in, [axis](In x) { return Tensors{concat(x, axis)}; },
                         [axis](In x) {
                           Shape shape = x[0].shape();
                           shape[axis] = 0;
                           for (const Tensor& t : x) shape[axis] += t.size(axis);
                           return Tensors{by_index(shape, [&](const Dims& i) {
                             Dims at = i;
                             std::size_t k = 0;
                             while (at[axis] >= x[k].size(axis)) at[axis] -= x[k++].size(axis);
                             return element(x[k], at);
                           })};
                         }});
  };
  add({randn({2, 3}), randn({2, 1}), randn({2, 2})}, 1);
  add({randn({2, 3}), randn({0, 3}), randn({4, 3})}, 0);
  add({randn({2, 3, 5, 7}), randn({2, 2, 5, 7})}, 1);
  add({randn({300, 101}), randn({300, 202}, 2)}, 1);
  c.samples.push_back({{randn({2, 3}), randn({2, 3}, 2)},
                       [](In in) { return Tensors{stack(in, 1)}; },
                       [](In in) {
                         return Tensors{by_index({2, 2, 3}, [&](const Dims& i) {
                           return element(in[static_cast<std::size_t>(i[1])], {i[0], i[2]});
                         })};
                       },
                       "stack"});
  c.errors = {{"concat: shapes differ beyond axis 1",
               [] {
                 concat(Tensors{randn({2, 3}), randn({3, 3})}, 1);
               }},
              {"concat: dtypes differ",
               [] {
                 concat(Tensors{randn({2}), randint({2}, 3)}, 0);
               }},
              {"concat: needs at least one tensor", [] { concat({}, 0); }}};
}

OP_CASE(embed) {
  c.order = 2;
  const auto add = [&](const Shape& shape, const Shape& out, const Dims& begin, const Dims& step) {
    c.samples.push_back({{randn(shape)},
                         [=](In in) { return Tensors{embed(in[0], out, begin, step)}; },
                         [=](In in) {
                           return Tensors{by_index(out, [&](const Dims& i) {
                             Dims at = i;
                             for (int a = 0; a < at.rank(); ++a) {
                               if (i[a] < begin[a] || (i[a] - begin[a]) % step[a] != 0) return 0.0;
                               at[a] = (i[a] - begin[a]) / step[a];
                               if (at[a] >= shape[a]) return 0.0;
                             }
                             return element(in[0], at);
                           })};
                         }});
  };
  add({2, 3}, {4, 5}, {1, 2}, {1, 1});
  add({2, 3}, {7, 3}, {1, 0}, {3, 1});
  add({2, 3, 4, 5}, {2, 4, 9, 5}, {0, 1, 1, 0}, {1, 1, 2, 1});
  add({0, 3}, {2, 3}, {1, 0}, {1, 1});
  c.errors = {
      {"embed: f64[3] on cpu does not fit [4] from [2] in steps of [1]", [] { embed(randn({3}), {4}, {2}, {1}); }}};
}

OP_CASE(pad) {
  c.covers = {"embed"};
  c.order = 2;
  const auto add = [&](const Shape& shape, const Dims& before, const Dims& after, double value) {
    c.samples.push_back({{randn(shape)},
                         [=](In in) { return Tensors{pad(in[0], before, after, value)}; },
                         [=](In in) {
                           Shape out = shape;
                           for (int a = 0; a < out.rank(); ++a) out[a] += before[a] + after[a];
                           return Tensors{by_index(out, [&](const Dims& i) {
                             Dims at = i;
                             for (int a = 0; a < at.rank(); ++a) {
                               at[a] -= before[a];
                               if (at[a] < 0 || at[a] >= shape[a]) return value;
                             }
                             return element(in[0], at);
                           })};
                         }});
  };
  add({2, 3}, {0, 1}, {2, 0}, 2.5);
  add({2, 3, 5, 7}, {0, 0, 1, 1}, {0, 0, 2, 1}, 0);
  add({}, {}, {}, 1);
  c.samples.push_back({{randn({2, 3, 2})},
                       [](In in) {
                         return Tensors{pad(in[0], {1, 0}, {0, 2}, 3)};
                       },
                       [](In in) {
                         return Tensors{pad(in[0], {0, 1, 0}, {0, 0, 2}, 3)};
                       },
                       "entries belong to the last axes"});
  c.errors = {{"pad: needs non-negative amounts", [] { pad(randn({3}), {-1}, {0}); }},
              {"pad: needs as many amounts before as after", [] {
                 pad(randn({3}), {1, 1}, {0});
               }}};
}

OP_CASE(flip) {
  c.order = 2;
  const auto add = [&](const Shape& shape, const Axes& axes) {
    c.samples.push_back({{randn(shape)},
                         [axes](In in) { return Tensors{flip(in[0], axes)}; },
                         [axes](In in) {
                           const std::uint32_t mask = axis_mask(in[0].rank(), axes, "sample");
                           return Tensors{by_index(in[0].shape(), [&](const Dims& i) {
                             Dims at = i;
                             for (int a = 0; a < at.rank(); ++a)
                               if (mask >> a & 1u) at[a] = in[0].size(a) - 1 - at[a];
                             return element(in[0], at);
                           })};
                         }});
  };
  add({2, 3}, {1});
  add({2, 3}, {});
  add({2, 3, 5, 7}, {3});
  add({0, 3}, {0});
  c.errors = {{"flip: axis 2 is outside", [] { flip(randn({2, 3}), {2}); }}};
}

OP_CASE(repeat_interleave) {
  c.covers = {"broadcast_to", "reshape"};
  c.order = 2;
  c.samples = {{{randn({2, 3})},
                [](In in) { return Tensors{repeat_interleave(in[0], 2, 0)}; },
                [](In in) {
                  return Tensors{by_index({4, 3}, [&](const Dims& i) { return element(in[0], {i[0] / 2, i[1]}); })};
                }}};
  c.errors = {{"repeat_interleave: needs times >= 0; got -1", [] { repeat_interleave(randn({2}), -1, 0); }}};
}
