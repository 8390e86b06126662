// tests/op_cases/einsum.cpp -- einsum against a walk over all values of all letters.
#include "autograd/ops/einsum.h"

#include <map>

#include "autograd/ops/arithmetic.h"
#include "tests/op_case.h"

using namespace retort;
using namespace retort::testing;

namespace {
/// "ab,bc->ac" with every letter written out; an axis of extent 1 broadcasts.
Tensor naive_einsum(const std::string& equation, In in) {
  const std::string result = equation.substr(equation.find("->") + 2);
  std::vector<std::string> terms(1);
  for (const char c : equation.substr(0, equation.find("->")))
    if (c == ',')
      terms.emplace_back();
    else
      terms.back() += c;
  std::map<char, std::int64_t> extent, at;
  for (std::size_t i = 0; i < in.size(); ++i)
    for (std::size_t a = 0; a < terms[i].size(); ++a) {
      std::int64_t& e = extent.try_emplace(terms[i][a], 1).first->second;
      if (e == 1) e = in[i].size(static_cast<int>(a));
      at[terms[i][a]] = 0;
    }
  Shape shape;
  for (const char c : result) shape.push_back(extent[c]);
  std::vector<double> y(static_cast<std::size_t>(shape.product()), 0.0);
  std::vector<std::vector<double>> x;
  for (const Tensor& t : in) x.push_back(t.values());
  std::int64_t count = 1;
  for (const auto& [letter, e] : extent) count *= e;
  for (std::int64_t step = 0; step < count; ++step) {
    std::int64_t rest = step;
    for (auto& [letter, index] : at) {
      index = rest % extent[letter];
      rest /= extent[letter];
    }
    double product = 1;
    for (std::size_t i = 0; i < in.size(); ++i) {
      std::int64_t offset = 0;
      for (std::size_t a = 0; a < terms[i].size(); ++a) {
        const std::int64_t n = in[i].size(static_cast<int>(a));
        offset = offset * n + (n == 1 ? 0 : at[terms[i][a]]);
      }
      product *= x[i][static_cast<std::size_t>(offset)];
    }
    std::int64_t to = 0;
    for (const char c : result) to = to * extent[c] + at[c];
    y[static_cast<std::size_t>(to)] += product;
  }
  return Tensor::from(y, shape, DType::f64);
}

/// `explicit_form` says the same with every axis named.
Sample einsum_sample(const std::string& equation, std::initializer_list<Shape> shapes,
                     const std::string& explicit_form = "") {
  Tensors in;
  for (const Shape& s : shapes) in.push_back(randn(s, 7 + in.size()));
  const std::string full = explicit_form.empty() ? equation : explicit_form;
  return {in, [=](In x) { return Tensors{einsum(equation, x)}; }, [=](In x) { return Tensors{naive_einsum(full, x)}; },
          equation};
}
}  // namespace

OP_CASE(einsum) {
  c.covers = {"matmul"};
  c.order = 2;
  c.grad_roundings = 16;  // several products in a row, each rounded
  c.samples = {einsum_sample("ab,bc->ac", {{2, 3}, {3, 4}}),
               einsum_sample("ab , bc", {{2, 3}, {3, 4}}, "ab,bc->ac"),
               einsum_sample("bik,bjk->bji", {{2, 3, 4}, {2, 5, 4}}),
               einsum_sample("bhtd,bhsd->bhts", {{2, 3, 4, 5}, {2, 3, 2, 5}}),
               einsum_sample("a,b->ab", {{3}, {4}}),
               einsum_sample("a,a", {{5}, {5}}, "a,a->"),
               einsum_sample("ij->ji", {{2, 3}}),
               einsum_sample("ba", {{2, 3}}, "ba->ab"),
               einsum_sample("abc->b", {{2, 3, 4}}),
               einsum_sample("ii", {{4, 4}}, "ii->"),
               einsum_sample("iji->ji", {{3, 2, 3}}),
               einsum_sample("iii->i", {{3, 3, 3}}),
               einsum_sample("aibi,i->ab", {{2, 3, 4, 3}, {3}}),
               einsum_sample("ab,cd,bd->ac", {{2, 3}, {4, 5}, {3, 5}}),
               einsum_sample("ab,bc,cd,d->a", {{2, 3}, {3, 4}, {4, 2}, {2}}),
               einsum_sample("ab,cb->a", {{2, 3}, {4, 3}}),
               einsum_sample("ab,bc->ac", {{2, 1}, {3, 4}}),
               einsum_sample("ab,ab->ab", {{1, 3}, {2, 3}}),
               einsum_sample("...ij,...jk->...ik", {{2, 1, 3, 4}, {5, 4, 2}}, "abij,bjk->abik"),
               einsum_sample("i...,i...", {{3, 2}, {3, 4, 2}}, "ib,iab->ab"),
               einsum_sample("...a->a...", {{2, 3, 4}}, "bca->abc"),
               einsum_sample("...a,b->ab", {{2, 3}, {2}}, "ca,b->ab"),
               einsum_sample("ab,bc->ac", {{2, 0}, {0, 4}}),
               einsum_sample("ab,bc->ca", {{130, 17}, {17, 520}})};
  c.errors = {{"einsum: cannot read '1'",
               [] {
                 einsum("a1", {randn({2, 2})});
               }},
              {"einsum: cannot read '-'",
               [] {
                 einsum("a-b", {randn({2, 2})});
               }},
              {"einsum: \"ab,bc\" has 2 operands; got 1",
               [] {
                 einsum("ab,bc", {randn({2, 2})});
               }},
              {"einsum: operand 0 of \"ab->a\" names 2 axes; got f64[2]", [] { einsum("ab->a", {randn({2})}); }},
              {"einsum: operand 0 of \"a...b\" has too few axes", [] { einsum("a...b", {randn({2})}); }},
              {"einsum: no operand has 'c'",
               [] {
                 einsum("ab->c", {randn({2, 2})});
               }},
              {"einsum: 'a' occurs twice in the result",
               [] {
                 einsum("ab->aa", {randn({2, 2})});
               }},
              {"einsum: 'a' names axes of different extents",
               [] {
                 einsum("aa", {randn({2, 3})});
               }},
              {"einsum: extents 3 and 4 of one axis", [] {
                 einsum("ab,bc", {randn({2, 3}), randn({4, 2})});
               }}};
}
