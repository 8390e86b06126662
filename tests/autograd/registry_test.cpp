// tests/autograd/registry_test.cpp -- the registry of ops, the table of kernels and the op cases agree.
#include <algorithm>
#include <set>

#include "tests/op_case.h"

using namespace retort;

namespace {
using Names = std::set<std::string, std::less<>>;

Names op_names() {
  Names names;
  for (const Op* op : registered_ops()) names.emplace(op->name);
  return names;
}
Names cpu_kernels() {
  Names names;
  for (const std::string_view name : registered_kernels(DeviceKind::cpu)) names.emplace(name);
  return names;
}
/// What an op case answers for.
std::vector<std::string> answers_for(const testing::OpCase& c) {
  return c.covers.empty() ? std::vector<std::string>{c.name} : c.covers;
}
/// Kernels behind named writers, creators and optimisers: they fill given memory and are called without an op.
const Names kWriters = {
    "fill",       "copy",     "accumulate", "arange",   "random_normal", "random_uniform", "random_bernoulli",
    "adamw_step", "sgd_step", "lion_step",  "ema_step", "scale",         "inner_product"};
}  // namespace

TEST_CASE("registry: every op has an op case, and no case is about an unknown op") {
  Names covered;
  const Names ops = op_names();
  for (const testing::OpCaseEntry& entry : testing::op_cases())
    for (const std::string& name : answers_for(testing::make_op_case(entry))) {
      CHECK_MESSAGE(ops.contains(name), "the op case ", entry.name, " covers ", name, ", which is not an op");
      covered.insert(name);
    }
  for (const std::string& name : ops) CHECK_MESSAGE(covered.contains(name), "no op case covers ", name);
}

TEST_CASE("registry: every op can run on the CPU") {
  const Names kernels = cpu_kernels();
  for (const Op* op : registered_ops()) {
    INFO("op ", std::string(op->name));
    if (op->composite())
      CHECK(bool(op->decompose));
    else if (!op->view)
      CHECK(kernels.contains(op->name));
  }
}

TEST_CASE("registry: every CPU kernel belongs to an op or to a writer") {
  const Names ops = op_names();
  for (const std::string& name : cpu_kernels())
    CHECK_MESSAGE((ops.contains(name) || kWriters.contains(name)), "nothing calls the kernel ", name);
  for (const std::string& name : kWriters) CHECK_MESSAGE(cpu_kernels().contains(name), "no kernel named ", name);
}

TEST_CASE("registry: every differentiable op has both rules, every fused op a decomposition") {
  for (const Op* op : registered_ops()) {
    INFO("op ", std::string(op->name));
    CHECK((op->kind == Kind::none) != bool(op->vjp));
    CHECK((op->kind == Kind::none) != bool(op->jvp));
    CHECK((op->kind == Kind::fused) == bool(op->decompose));
    if (op->outputs > 0) CHECK(op->auxiliaries < op->outputs);  // 0: as many as the call says
  }
}
