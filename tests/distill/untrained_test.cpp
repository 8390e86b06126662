// tests/distill/untrained_test.cpp -- an update moves the roles that it trains, and no bit of any other.
#include <doctest/doctest.h>

#include <cstring>

#include "distill/train/job.h"

using namespace retort;

namespace {
using Bits = std::map<std::string, std::vector<double>>;  ///< parameters and buffers of a role by name

Bits bits_of(Role& role) {
  Bits bits;
  for (const NamedParameter& p : parameters_of(role)) bits[p.name] = p.parameter->value.values();
  for (const NamedBuffer& b : buffers_of(role)) bits[b.name] = b.buffer->value.values();
  return bits;
}

bool same(const Bits& a, const Bits& b) {
  for (const auto& [name, values] : a) {
    const std::vector<double>& other = b.at(name);
    if (std::memcmp(values.data(), other.data(), values.size() * sizeof(double)) != 0) return false;
  }
  return a.size() == b.size();
}

/// Roles that the update trains, and those that follow others or are drawn for each step.
std::set<std::string> movers(const Setup& setup, const UpdateSpec& update) {
  std::set<std::string> names(update.train.begin(), update.train.end());
  for (const auto& [name, spec] : setup.followers) names.insert(name);
  for (const auto& [name, drawn] : setup.drawn) names.insert(name);
  return names;
}

/// One step in which update `u` alone is due.
void check_alone(Setup& setup, Trainer& trainer, std::size_t phase, std::size_t u, int* moved) {
  std::vector<UpdateSpec>& updates = setup.phases[phase].updates;
  const std::vector<UpdateSpec> as_planned = updates;
  for (std::size_t other = 0; other < updates.size(); ++other) updates[other].every = other == u ? 1 : 1 << 30;
  std::map<std::string, Bits> before;
  for (auto& [name, role] : setup.roles) before[name] = bits_of(role);
  trainer.advance();
  const std::set<std::string> may_move = movers(setup, updates[u]);
  for (auto& entry : setup.roles) {
    const std::string& name = entry.first;
    CAPTURE(name);
    const bool stayed = same(before[name], bits_of(entry.second));
    if (!may_move.count(name)) CHECK(stayed);
    *moved += !stayed;
  }
  for (std::size_t other = 0; other < updates.size(); ++other) updates[other].every = as_planned[other].every;
}
}  // namespace

TEST_CASE("methods: roles that an update does not train keep every bit") {
  int steps = 0, moved = 0;
  for (const auto& preset : method_presets()) {
    const std::string& slug = preset.first;
    CAPTURE(slug);
    const OpenedJob opened = open_job(slug, {"job.task=tiny"});
    Job job = build_job(opened.config, opened.file, kCpu);
    Setup& setup = job.setup;
    Trainer trainer(setup);
    std::int64_t start = 0;
    for (std::size_t phase = 0; phase < setup.phases.size(); ++phase) {
      if (setup.trajectories.empty())
        trainer.seek(start);
      else
        while (trainer.step() < start) trainer.advance();  // weights must have been recorded
      const std::size_t updates = setup.phases[phase].updates.size();
      if (updates > 1) trainer.advance();  // at the first step everything is due
      // What a phase does with weights once it ended is not the update's.
      const bool hands_over = !setup.phases[phase].between.empty();
      for (std::size_t u = 0; u < updates; ++u) {
        if (trainer.step() + hands_over >= start + setup.phases[phase].steps) break;
        check_alone(setup, trainer, phase, u, &moved);
        ++steps;
      }
      start += setup.phases[phase].steps;
    }
  }
  CHECK(steps > 200);
  CHECK(moved > 200);
}
