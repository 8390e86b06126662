// distill/train/run_folder.h -- the folder of one run: its settings, log, metrics and checkpoints, safe against kills.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "io/file.h"

namespace retort {

/// A complete checkpoint: a folder `step_0001000` that holds DONE.
struct Checkpoint {
  std::int64_t step = 0;
  std::filesystem::path path;
};

/// The complete checkpoints of a run, oldest first; unfinished ones are not there. Takes no lock.
std::vector<Checkpoint> list_checkpoints(const std::filesystem::path& run);
std::optional<Checkpoint> newest_checkpoint(const std::filesystem::path& run);
/// The checkpoint that the link `best` of a run names, if it names a complete one.
std::optional<Checkpoint> best_checkpoint(const std::filesystem::path& run);

/// The recorded values of one metric, in the order written (an evaluation may repeat a step).
struct MetricSeries {
  std::vector<std::int64_t> steps;
  std::vector<double> values;
};
/// metrics.jsonl by metric name; empty if there is none. A last line that was cut off is skipped, any other line that
/// is not a metrics object is an IoError with its number.
std::map<std::string, MetricSeries> read_metrics(const std::filesystem::path& run);

/// A command line as a shell would take it back.
std::string shell_command(const std::vector<std::string>& arguments);

/// What a run writes once, at its start.
struct RunFiles {
  std::string config;       ///< config.yaml: the job file as the user wrote it
  std::string resolved;     ///< resolved.yaml: Config::to_yaml() after everything was read
  std::string command;      ///< command.txt: how the run was started
  std::string environment;  ///< environment.json: see environment_json()
};

/// Owner of a run folder:
///
///     RUN/ config.yaml resolved.yaml command.txt environment.json log.txt metrics.jsonl latest -> best ->
///          checkpoints/step_0001000/{..., DONE}
///
/// One process at a time owns it (a lock on log.txt that ends with the process). A process may be killed at any
/// instruction: the next `resume` finds every checkpoint either complete or absent.
class RunFolder {
 public:
  /// Starts a run. Throws ConfigError, naming `retort resume`, if the folder already holds one, or anything else; what
  /// an earlier start left behind when it was killed is written over. config.yaml is written last and makes the run.
  static RunFolder create(const std::filesystem::path& path, const RunFiles& files);
  /// Takes up an existing run: removes unfinished checkpoints, mends `latest`, adds `command` to command.txt.
  static RunFolder resume(const std::filesystem::path& path, const std::string& command);

  const std::filesystem::path& path() const { return path_; }

  /// Appends a line to log.txt, after the time in UTC.
  void log(std::string_view line);
  /// Appends one JSON object to metrics.jsonl: "step", then the values in order. NaN and infinities, which JSON lacks,
  /// are written as the strings "nan", "inf" and "-inf".
  void write_metrics(std::int64_t step, const std::vector<std::pair<std::string, double>>& values);
  /// Drops the metrics after `step`, and a last line that was cut off: the run continues from there.
  void rewind_metrics(std::int64_t step);

  /// Writes a checkpoint: `save` fills an empty temporary folder, which is synced, marked DONE and renamed; then
  /// `latest` names it. An exception from `save` leaves nothing behind. A complete checkpoint of the same step is
  /// replaced.
  Checkpoint save_checkpoint(std::int64_t step, const std::function<void(const std::filesystem::path& folder)>& save);
  /// Makes `best` name the complete checkpoint of `step`.
  void mark_best(std::int64_t step);
  /// Removes all but the newest `keep_last` (at least 1) checkpoints; those that `best` and `latest` name stay.
  void prune_checkpoints(int keep_last);

 private:
  explicit RunFolder(std::filesystem::path path);
  void clean_checkpoints();
  void place(const std::filesystem::path& temporary, std::int64_t step);
  void link(const std::string& name, const std::filesystem::path& checkpoint);

  std::filesystem::path path_, checkpoints_;
  FileDescriptor log_, metrics_;
};

}  // namespace retort
