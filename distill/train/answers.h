// distill/train/answers.h -- what the roles of a job answer to one micro-batch, evaluated once for all terms.
#pragma once
#include <set>

#include "distill/objectives/term.h"
#include "distill/train/store.h"

namespace retort {

/// The schedule of the roles that a term asks at its noisy states; null: it asks none. Throws ConfigError when two
/// differ.
const NoiseSchedule* schedule_of(const Term& term, const Roles& roles);

/// Wishes are collected first, so that one forward of a role at one state serves every term that reads it. The roles
/// that are trained answer under the tape of `pass`, the others without one.
class Answers {
 public:
  Answers(const Roles& roles, const Stores& stores, const Batch& batch, const std::set<std::string>& trained,
          Pass& pass, const Clock& clock)
      : roles_(roles), stores_(stores), batch_(batch), trained_(trained), pass_(pass), clock_(clock) {}

  /// What a term reads.
  void wish(const Term& term);
  /// Its signals, in the order of its reads; those that are not live are constants.
  Signals signals(const Term& term);
  /// A term's input with these signals.
  TermInput input(const Term& term, const Signals& signals);
  /// One read at the batch itself, wished for before; constant.
  void wish(const Read& r) { wish(r, nullptr); }
  Tensors read(const Read& r);

 private:
  /// A role at a state of a term; states other than "x" are each term's own.
  struct Place {
    std::string role;
    const Term* term;
    std::string state;
    std::string cond;
    std::string to;
    Grad grad;
    auto operator<=>(const Place&) const = default;
  };
  Grad grad_of(const Read& r) const;
  Place place(const Read& r, const Term* term, const std::string& cond) const;
  void wish(const Read& r, const Term* term);
  Tensors get(const Read& r, const Term* term);
  Query query(const Read& r, const Term* term, const std::string& cond);
  const Reply& reply(const Read& r, const Term* term, const std::string& cond);
  Tensor label(const std::string& cond) const;
  Tensor ask(const Read& r, const Tensor& x, const Tensor& t, const Tensor& s, const TensorMap& known);
  Tensor prediction(const Read& r, const Term* term);
  Tensor slope(const Read& r, const Term* term);
  Tensors rated(const Read& r, const Term* term);
  Tensor carried(const Read& r, const TensorMap& at, const Tensor& x);
  Tensors taps(const Read& r, const Term* term);
  Tensors head(const Read& r, const Term* term, Tensors inputs);
  Tensors stored(const Read& r) const;
  Times draw(const std::vector<NamedLaw>& laws, const std::string& stream) const;
  TensorMap make_states(const Term* term);
  const TensorMap& states(const Term* term);

  const Roles& roles_;
  const Stores& stores_;
  const Batch& batch_;
  const std::set<std::string>& trained_;
  Pass& pass_;
  Clock clock_;
  std::map<Place, Want> wishes_;
  std::map<Place, Reply> replies_;
  std::map<std::pair<Place, std::string>, Tensors> head_results_;  ///< by the head's name
  std::map<const Term*, TensorMap> states_;
};

/// Rows of tensors of one name after each other.
TensorMap joined(const std::vector<TensorMap>& parts);
/// The micro-batches of a source as one batch: what a batch-coupled term sees.
Batch joined(const std::vector<Batch>& parts);

}  // namespace retort
