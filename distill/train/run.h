// distill/train/run.h -- a job from its first step to its report: logging, evaluation, checkpoints, resumption.
#pragma once
#include <functional>

#include "distill/train/evaluate.h"
#include "distill/train/job.h"
#include "distill/train/run_folder.h"

namespace retort {

/// What a run tells whoever watches it.
struct RunObserver {
  std::function<void(const std::string& line)> line = [](const std::string&) {};      ///< lasting messages
  std::function<void(const std::string& line)> progress = [](const std::string&) {};  ///< replaces the previous one
  std::function<bool()> stop_requested = [] { return false; };  ///< asked after every step: save and return
  std::function<void()> all_saved = [] {};  ///< told after the last step: evaluation may be cut off, `resume` redoes it
};

/// Peaks of a run in bytes: what planning predicted (0: not planned), what the tensors took, what the process held.
struct MemoryUse {
  std::int64_t predicted = 0, allocator = 0, resident = 0;
  std::string text() const;
};

struct RunResult {
  bool finished = false;                                        ///< false: stopped on request, resumable
  std::vector<std::pair<std::string, Evaluation>> evaluations;  ///< by the words of eval.roles, at the end
  /// What several seeds are compared by: top-1 in % or the scores of texts, Frechet distances of generated rows.
  std::vector<std::pair<std::string, double>> figures;
  MemoryUse memory;
};

/// Runs the job in `folder` from its newest checkpoint (from the start without one) to the end of its plan, then
/// evaluates and writes the report.
RunResult run_job(Job& job, RunFolder& folder, const RunObserver& observer);
/// The same as one of several ranks. Rank 0 has the folder: it alone writes and reports, and a stop that any
/// rank is asked for stops all. The others read checkpoints and tables at `path`, where all must see the same files,
/// and are done after the last step. What a rank throws is told to the others, which throw a CommError.
RunResult run_job(Job& job, RunFolder* folder, const std::filesystem::path& path, const RunObserver& observer,
                  Communicator& ranks);

/// Bytes and counts that planning found.
struct PlanReport {
  struct Row {
    std::string role, arch;
    std::int64_t parameters = 0, parameter_bytes = 0, optimizer_bytes = 0;
  };
  std::vector<Row> roles;
  std::vector<std::pair<std::string, std::int64_t>> phases;  ///< name and predicted peak of a step, everything included
  std::int64_t table_bytes = 0, evaluation_peak = 0;
  std::int64_t peak = 0;      ///< of the whole job
  std::int64_t resident = 0;  ///< of this process now: what a run holds besides its tensors
  std::int64_t steps = 0;
  std::string text() const;
};
/// Runs one step of every phase and one evaluation batch on shapes alone. `job` must be built on the meta device.
PlanReport plan_job(Job& job);

}  // namespace retort
