// distill/cli/run.cpp -- run and resume, for one seed or several.
#include "distill/train/run.h"

#include <omp.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>

#include "distill/cli/commands.h"
#include "distill/train/environment.h"
#include "distill/train/ranks.h"
#include "distill/train/report.h"
#include "distill/train/spread.h"
#include "io/file.h"
#include "tensor/gpu/device.h"

namespace retort::cli {

namespace fs = std::filesystem;

namespace {
volatile std::sig_atomic_t stop_signal = 0, all_saved = 0;

/// Ends the process, whose steps are all saved; safe in a handler.
[[noreturn]] void leave_evaluation(int received) {
  constexpr std::string_view said =
      "stopped in the evaluation; all steps are saved, and retort resume evaluates again\n";
  [[maybe_unused]] const auto written = write(STDOUT_FILENO, said.data(), said.size());
  std::_Exit(128 + received);
}

/// First SIGINT or SIGTERM: finish the step, save, return. A second one, or one after all steps, ends the process at
/// once. A file that grows beyond the process's limit is an error of the write, as a full disk is.
void install_signal_handlers() {
  std::signal(SIGXFSZ, SIG_IGN);
  for (const int s : {SIGINT, SIGTERM})
    std::signal(s, [](int received) {
      if (all_saved != 0) leave_evaluation(received);
      if (stop_signal != 0) std::_Exit(128 + received);
      stop_signal = received;
    });
}

/// One progress line on a terminal, plain lines elsewhere.
RunObserver terminal_observer() {
  const bool terminal = isatty(STDOUT_FILENO) != 0;
  RunObserver o;
  o.line = [terminal](const std::string& text) {
    std::printf("%s%s\n", terminal ? "\r\033[K" : "", text.c_str());
    std::fflush(stdout);
  };
  o.progress = [terminal](const std::string& text) {
    std::printf(terminal ? "\r\033[K%s" : "%s\n", text.c_str());
    std::fflush(stdout);
  };
  o.stop_requested = [] { return stop_signal != 0; };
  o.all_saved = [] {
    all_saved = 1;
    if (stop_signal != 0) leave_evaluation(stop_signal);
  };
  return o;
}

Job build(const Config& config, const fs::path& file, std::optional<std::uint64_t> seed) {
  Config copy = config;
  const Device device = chosen_device(copy);
  if (device.kind != DeviceKind::cpu) GpuDevice::of(device);  // one that is not there is refused before data are read
  Job job = build_job(copy, file, device, seed);
  if (job.run.threads > 0) omp_set_num_threads(job.run.threads);
  return job;
}

/// What all ranks but the first tell: they stop, and say nothing.
RunObserver silent_observer() {
  RunObserver o;
  o.stop_requested = [] { return stop_signal != 0; };
  return o;
}

/// The exit code of a run that was stopped, perhaps by the signal of another rank.
int stopped() { return 128 + (stop_signal != 0 ? stop_signal : SIGTERM); }

/// Meets the other ranks where the environment names a place among them.
std::unique_ptr<Communicator> meet_ranks(Job& job) {
  const auto place = place_from_environment();
  if (!place) return nullptr;
  CommOptions options;
  options.timeout = CommOptions::Duration(job.run.timeout);
  options.warn = [rank = place->rank](int, const std::string& text) {
    std::fprintf(stderr, "retort: rank %d: %s\n", rank, text.c_str());
  };
  std::unique_ptr<Communicator> ranks = join_tcp(*place, identity_of(job), options);
  check_ranks(job.setup, *ranks);
  return ranks;
}

std::string environment_of(const Communicator* ranks) {
  if (!ranks) return environment_json();
  return environment_json({{"ranks", std::to_string(ranks->world())}});
}

/// Runs one job in `folder`: a new one, or one that is there already when `continuing`. `ranks` null: alone.
std::optional<RunResult> run_one(Job& job, const fs::path& folder, const std::string& command, bool continuing,
                                 const RunObserver& observer, Communicator* ranks) {
  if (ranks && ranks->rank() > 0) {
    RunResult r = run_job(job, nullptr, folder, observer, *ranks);
    if (!r.finished) return std::nullopt;
    return r;
  }
  RunFolder f = continuing ? RunFolder::resume(folder, command)
                           : RunFolder::create(folder, {job.raw, job.resolved, command, environment_of(ranks)});
  Config planned_config = Config::parse(job.resolved, (folder / "resolved.yaml").string());
  if (!ranks) {  // the plan is of one process
    const MemoryScope scope(Ref<MemoryAccount>(new MemoryAccount));
    Job planned = build_job(planned_config, folder / "resolved.yaml", kMeta);
    const PlanReport plan = plan_job(planned);
    job.predicted_peak = plan.peak;
    write_file_atomic(folder / "plan.txt", plan.text());
  }
  all_saved = 0;
  RunResult r = ranks ? run_job(job, &f, folder, observer, *ranks) : run_job(job, f, observer);
  if (!r.finished) return std::nullopt;
  return r;
}

/// Every seed in a folder of its own; those that are finished are only read. The table of means comes last.
int run_seeds(const Config& config, const fs::path& file, const Job& first, const std::string& command,
              const RunObserver& observer, Communicator* ranks) {
  std::map<std::string, std::vector<double>> values;
  std::vector<std::string> order;
  for (const std::uint64_t seed : first.seeds) {
    const fs::path folder = first.folder / fmt::format("seed_{}", seed);
    observer.line(fmt::format("seed {}", seed));
    Job job = build(config, file, seed);
    const auto r = run_one(job, folder, command, fs::exists(folder / "config.yaml"), observer, ranks);
    if (!r) return stopped();
    for (const auto& [name, value] : r->figures) {
      if (!values.contains(name)) order.push_back(name);
      values[name].push_back(value);
    }
  }
  if (ranks && ranks->rank() > 0) return 0;
  std::size_t width = 0;
  for (const std::string& name : order) width = std::max(width, name.size());
  std::string table = fmt::format("mean and deviation over {} seeds\n", first.seeds.size());
  for (const std::string& name : order) {
    const Spread s = spread_of(values[name]);
    table += fmt::format("{:<{}}  {:.4g} +- {:.2g}\n", name, width, s.mean, s.deviation);
  }
  write_file_atomic(first.folder / "summary.txt", table);
  observer.line(table);
  return 0;
}

/// The job, or one for each of its seeds.
int run_all(Job& job, const Config& config, const fs::path& file, const std::string& command, bool continuing,
            Communicator* ranks) {
  const bool leads = !ranks || ranks->rank() == 0;
  const RunObserver observer = leads ? terminal_observer() : silent_observer();
  if (job.seeds.empty()) return run_one(job, job.folder, command, continuing, observer, ranks) ? 0 : stopped();
  if (leads) {
    if (!continuing && fs::exists(job.folder / "config.yaml"))
      throw ConfigError("run: {} exists already; hint: retort resume {}", job.folder.string(), job.folder.string());
    fs::create_directories(job.folder);
    write_file_atomic(job.folder / "config.yaml", job.raw);
    write_file_atomic(job.folder / "resolved.yaml", job.resolved);
  }
  return run_seeds(config, file, job, command, observer, ranks);
}

int run_config(const Config& config, const fs::path& file, const std::string& command, bool continuing,
               const std::optional<fs::path>& where) {
  install_signal_handlers();
  Job job = build(config, file, {});
  if (where) job.folder = *where;
  const std::unique_ptr<Communicator> ranks = meet_ranks(job);
  try {
    return run_all(job, config, file, command, continuing, ranks.get());
  } catch (const std::exception& e) {
    if (ranks) ranks->give_up(e.what());
    throw;
  }
}
}  // namespace

int run(const std::string& job, const std::vector<std::string>& overrides, const std::vector<std::string>& command) {
  const OpenedJob opened = open_job(job, overrides);
  return run_config(opened.config, opened.file, shell_command(command), false, {});
}

int resume(const std::string& folder, const std::vector<std::string>& command) {
  const fs::path file = fs::path(folder) / "resolved.yaml";
  if (!fs::exists(file)) throw ConfigError("resume: {} is not a run folder (no resolved.yaml)", folder);
  return run_config(Config::parse_file(file), file, shell_command(command), true, fs::path(folder));
}

}  // namespace retort::cli
