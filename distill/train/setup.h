// distill/train/setup.h -- everything a phase plan runs on: roles, sources, stores, terms, phases.
#pragma once
#include <memory>

#include "distill/objectives/term.h"
#include "distill/train/controller.h"
#include "distill/train/drawn_params.h"
#include "distill/train/param_source.h"
#include "distill/train/phase.h"
#include "distill/train/source.h"
#include "distill/train/store.h"

namespace retort {

/// Built from a job file by distill/train/job.h.
struct Setup {
  std::uint64_t seed = 0;
  Device device;
  Roles roles;
  std::map<std::string, std::unique_ptr<Source>> sources;
  std::map<std::string, std::unique_ptr<Term>> terms;
  std::map<std::string, std::string> term_source;
  std::vector<PhaseSpec> phases;
  Stores stores;
  std::map<std::string, Trajectories> trajectories;
  std::map<std::string, std::unique_ptr<DrawnParams>> drawn;       ///< by the role whose weights are drawn
  std::map<std::string, FollowSpec> followers;                     ///< by the role that follows
  std::map<std::string, std::shared_ptr<Controller>> controllers;  ///< by the number they write
};

}  // namespace retort
