// tests/op_cases/border.cpp -- borders that repeat the tensor, roll, and the shuffles between channels and pixels.
#include <algorithm>

#include "autograd/ops/image.h"
#include "autograd/ops/shape.h"
#include "tests/op_case.h"
#include "tests/op_cases/by_index.h"

using namespace retort;
using namespace retort::testing;

OP_CASE(pad_border) {
  c.covers = {"pad_border", "pad_border_grad"};
  const auto add = [&](const Shape& shape, const Dims& before, const Dims& after, PadMode mode) {
    c.samples.push_back({{randn(shape)},
                         [=](In in) { return Tensors{pad(in[0], before, after, mode)}; },
                         [=](In in) {
                           const int skipped = shape.rank() - before.rank();
                           Shape out = shape;
                           for (int i = 0; i < before.rank(); ++i) out[skipped + i] += before[i] + after[i];
                           return Tensors{by_index(out, [&](const Dims& index) {
                             Dims at = index;
                             for (int i = 0; i < before.rank(); ++i) {
                               std::int64_t& k = at[skipped + i];
                               const std::int64_t n = shape[skipped + i];
                               k -= before[i];
                               if (mode == PadMode::replicate) k = std::clamp<std::int64_t>(k, 0, n - 1);
                               if (mode == PadMode::circular) k = (k + n) % n;
                               if (mode == PadMode::reflect && k < 0) k = -k;
                               if (mode == PadMode::reflect && k >= n) k = 2 * (n - 1) - k;
                             }
                             return element(in[0], at);
                           })};
                         }});
  };
  for (const PadMode mode : {PadMode::reflect, PadMode::replicate, PadMode::circular}) {
    add({2, 3, 4}, {2, 1}, {1, 3}, mode);
    add({2, 3, 4, 5}, {3, 1}, {0, 4}, mode);
    add({5}, {4}, {4}, mode);
    add({3, 4, 2, 3, 2}, {1, 0, 1}, {1, 2, 0}, mode);
    add({0, 3}, {1}, {2}, mode);
    add({2, 3}, {0, 0}, {0, 0}, mode);
  }
  add({2, 3}, {5, 0}, {0, 4}, PadMode::replicate);
  add({4, 3}, {4, 0}, {4, 3}, PadMode::circular);
  c.errors = {
      {"pad: a border of 3 elements cannot repeat axis 1",
       [] {
         pad(randn({2, 3}), {3}, {0}, PadMode::reflect);
       }},
      {"pad: a border of 4 elements cannot repeat axis 1",
       [] {
         pad(randn({2, 3}), {0}, {4}, PadMode::circular);
       }},
      {"pad: a border of 1 elements cannot repeat axis 0", [] { pad(randn({0}), {1}, {0}, PadMode::replicate); }},
      {"pad: needs non-negative amounts", [] { pad(randn({3}), {-1}, {0}, PadMode::reflect); }},
      {"pad: needs as many amounts before as after", [] {
         pad(randn({3}), {1, 1}, {1, 1}, PadMode::reflect);
       }}};
}

OP_CASE(roll) {
  c.order = 2;
  const auto add = [&](const Shape& shape, const Dims& shifts, const Axes& axes) {
    c.samples.push_back({{randn(shape)},
                         [=](In in) { return Tensors{roll(in[0], shifts, axes)}; },
                         [=](In in) {
                           return Tensors{by_index(shape, [&](const Dims& index) {
                             Dims at = index;
                             int i = 0;
                             for (const int axis : axes) {
                               const int a = axis < 0 ? axis + shape.rank() : axis;
                               at[a] = ((at[a] - shifts[i++]) % shape[a] + shape[a]) % shape[a];
                             }
                             return element(in[0], at);
                           })};
                         }});
  };
  add({3, 4}, {1, -1}, {0, 1});
  add({5}, {7}, {0});
  add({2, 3, 5, 7}, {2, -3}, {2, -1});
  add({2, 3}, {3, 0}, {1, 0});
  add({3, 4}, {1, 1}, {1, 1});
  add({0, 3}, {1}, {1});
  c.errors = {{"roll: needs one shift per axis",
               [] {
                 roll(randn({2, 3}), {1}, {0, 1});
               }},
              {"roll: axis 2 is outside", [] {
                 roll(randn({2, 3}), {1}, {2});
               }}};
}

OP_CASE(pixel_shuffle) {
  c.covers = {"reshape", "permute"};  // a composition
  c.order = 2;
  const auto add = [&](const Shape& shape, std::int64_t r) {
    const Shape large{shape[0], shape[1] / (r * r), shape[2] * r, shape[3] * r};
    c.samples.push_back({{randn(shape)},
                         [=](In in) { return Tensors{pixel_shuffle(in[0], r)}; },
                         [=](In in) {
                           return Tensors{by_index(large, [&](const Dims& i) {
                             return element(in[0], {i[0], (i[1] * r + i[2] % r) * r + i[3] % r, i[2] / r, i[3] / r});
                           })};
                         }});
    c.samples.push_back({{randn(large)},
                         [=](In in) { return Tensors{pixel_unshuffle(in[0], r)}; },
                         [=](In in) {
                           return Tensors{by_index(shape, [&](const Dims& i) {
                             const std::int64_t part = i[1] % (r * r);
                             return element(in[0], {i[0], i[1] / (r * r), i[2] * r + part / r, i[3] * r + part % r});
                           })};
                         }});
  };
  add({2, 8, 3, 2}, 2);
  add({1, 18, 2, 3}, 3);
  add({2, 3, 2, 2}, 1);
  add({0, 4, 3, 2}, 2);
  c.errors = {{"pixel_shuffle: 6 channels do not make 2x2 pixels",
               [] {
                 pixel_shuffle(randn({1, 6, 2, 2}), 2);
               }},
              {"pixel_shuffle: x must be [n, c, h, w]",
               [] {
                 pixel_shuffle(randn({6, 2, 2}), 2);
               }},
              {"pixel_unshuffle: 3x4 pixels do not divide into 2x2", [] {
                 pixel_unshuffle(randn({1, 6, 3, 4}), 2);
               }}};
}

TEST_CASE("image: shuffles return channels-last images") {
  CHECK(pixel_shuffle(randn({2, 8, 3, 2}), 2).layout().channels_last());
  CHECK(pixel_unshuffle(randn({2, 2, 6, 4}), 2).layout().channels_last());
}
