// distill/train/method_check.h -- `checks` of a preset: golden values of its terms, and the variants that must miss
// them.
#pragma once
#include <string>
#include <vector>

namespace retort {

/// One comparison: a term or the total against its golden value, or a variant that must not reach it.
struct CheckResult {
  std::string what;
  double expected = 0, got = 0;
  bool passed = false;
};

/// Runs every entry of the preset's `checks` in f64:
///
///     checks:
///       - given: {student: [[..], ..], teacher: [[..], ..], label: [..]}   # signals, rows are samples
///         at: {step: 0, steps: 1, epoch: 20, epochs: 240}                  # where numbers are read; all optional
///         phase: main                                                      # the first
///         update: 0                                                        # of the phase
///         terms: {ce: 0.1, kd: 0.2}                                        # per unit
///         total: 0.3                                                       # of the update
///         pull: 0.1                                                        # its gradient in x times 1, 2, 3, ..
///         asked: {syn: pixels(..), net: mlp(..)}                           # roles that terms ask themselves
///         with: [terms.match.view=none]                                    # overrides for this check
///         gradient: {syn.x: 0.1}                                           # of the total in it, times 1, 2, 3, ..
///         schedule: vp                                                     # of the given noisy states
///         nets: {teacher: gaussian(0 1 schedule=ve), ..}                   # roles that answer instead of signals
///         labels: {fake: [1, 1]}                                           # their other conditions
///         sampler: NAME                                                    # of the method, in the place of an update
///         drawn: 0.1                                                       # its samples times 1, 2, 3, ..
///         mutants: [terms.kd.T2=false]                                     # overrides that must change total, pull or
///                                                                          # gradient
///
/// A signal is named as the term reads it: ROLE for its output, ROLE.HEAD or ROLE.TAP otherwise, with @STATE; the
/// tensors of a list have .0, .1, ... after that; x, noise and times go by their names, parameters of `asked` as
/// ROLE.PARAMETER. Texts are `tokens`, and what a batch knows of them goes by its name (`mask`, `reward`). With `nets`,
/// closed forms (or networks whose parameters are 0) in the place of roles, `given` holds x, noise and times alone, the
/// states and signals of the terms that the check names are made of them as in a run, and `pull` is the gradient in the
/// parameters of the trained roles, shifts before growths, times 1, 2, 3, .. A sampler begins at
/// the given `noise`, `fresh` is what its steps draw, sample i has label i. Numbers left to the job have their `trial`
/// values, controlled ones their first. Values agree to 1e-9, relatively; a mutant must differ by 1e-3. Throws
/// ConfigError for an unknown method, and for a preset without checks or with a check that lacks mutants.
std::vector<CheckResult> check_method(const std::string& slug);
/// The same for a preset given as text, which may extend a built-in one.
std::vector<CheckResult> check_preset(const std::string& text, const std::string& slug);

}  // namespace retort
