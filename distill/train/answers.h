// distill/train/answers.h -- what the roles of a job answer to one micro-batch, evaluated once for all terms.
#pragma once
#include <set>

#include "distill/objectives/term.h"

namespace retort {

/// Wishes are collected first, so that one forward of a role serves every term that reads it. The roles that are
/// trained answer under the tape of `pass`, the others without one.
class Answers {
 public:
  Answers(const Roles& roles, const Batch& batch, const std::set<std::string>& trained, Pass& pass)
      : roles_(roles), batch_(batch), trained_(trained), pass_(pass) {}

  /// What a term reads.
  void wish(const Term& term);
  /// Its signals, in the order of Signals; the target is a constant.
  Signals signals(const Term& term);

 private:
  void wish(const Read& r);
  Tensor get(const Read& r);
  Tensor head(const Role& role, const std::string& name, const Tensor& tap, Grad grad) const;

  const Roles& roles_;
  const Batch& batch_;
  const std::set<std::string>& trained_;
  Pass& pass_;
  std::map<std::string, Want> wishes_;
  std::map<std::string, Reply> replies_;
};

/// The micro-batches of a source as one batch: what a batch-coupled term sees.
Batch joined(const std::vector<Batch>& parts);

}  // namespace retort
