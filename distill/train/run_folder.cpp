// distill/train/run_folder.cpp -- creation, locking, logs and checkpoints of a run folder.
#include "distill/train/run_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cmath>
#include <ctime>
#include <limits>
#include <nlohmann/json.hpp>

#include "tensor/error.h"

namespace retort {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kStep = "step_";
constexpr std::string_view kTemporary = ".tmp-";

// std::filesystem reports its failures by exceptions of its own; the library throws IoError only.
template <class F>
auto guarded(F&& f) {
  try {
    return f();
  } catch (const fs::filesystem_error& e) {
    throw IoError("{}: {}", e.path1().string(), e.code().message());
  }
}

std::string step_name(std::int64_t step) { return fmt::format("{}{:07}", kStep, step); }

std::optional<std::int64_t> step_of(const std::string& name) {
  if (!name.starts_with(kStep)) return std::nullopt;
  const char* first = name.data() + kStep.size();
  const char* last = name.data() + name.size();
  std::int64_t step = -1;
  const auto [end, error] = std::from_chars(first, last, step);
  if (error != std::errc{} || end != last || step < 0 || name != step_name(step)) return std::nullopt;
  return step;
}

bool is_complete(const fs::path& checkpoint) { return fs::exists(checkpoint / "DONE"); }

std::vector<fs::path> entries(const fs::path& folder) {
  std::vector<fs::path> out;
  if (!fs::is_directory(folder)) return out;
  for (const auto& entry : fs::directory_iterator(folder)) out.push_back(entry.path());
  std::sort(out.begin(), out.end());
  return out;
}

void append(int fd, const fs::path& path, const std::string& text) {
  const off_t before = ::lseek(fd, 0, SEEK_END);
  std::string_view rest = text;
  while (!rest.empty()) {
    const ssize_t put = ::write(fd, rest.data(), rest.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) {
      const int error = errno;
      // Half a line would spoil the next one, too.
      if (::ftruncate(fd, before) != 0) throw_file_error(path, "take back half a line", errno);
      throw_file_error(path, "append", error);
    }
    rest.remove_prefix(static_cast<std::size_t>(put));
  }
}

// Calls visit(object, offset past its line) for each whole line until it returns false. A last line without its end was
// being written when the process was killed.
template <class F>
void for_each_metrics_line(const std::string& text, const fs::path& path, F&& visit) {
  std::size_t start = 0, number = 1;
  for (std::size_t end; (end = text.find('\n', start)) != text.npos; start = end + 1, ++number) {
    const auto line =
        nlohmann::ordered_json::parse(text.data() + start, text.data() + end, nullptr, /*allow_exceptions=*/false);
    if (!line.is_object() || !line.contains("step") || !line["step"].is_number_integer()) {
      throw IoError("{}: line {} is not a JSON object with an integer step; repair or remove it", path.string(),
                    number);
    }
    if (!visit(line, end + 1)) return;
  }
}

double metric_value(const nlohmann::ordered_json& value) {
  if (value.is_number()) return value.get<double>();
  if (value == "inf") return std::numeric_limits<double>::infinity();
  if (value == "-inf") return -std::numeric_limits<double>::infinity();
  return std::numeric_limits<double>::quiet_NaN();
}

void sync_tree(const fs::path& folder) {
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_directory()) {
      sync_directory(entry.path());
    } else if (entry.is_regular_file() && !entry.is_symlink()) {
      if (::fsync(open_file(entry.path(), O_RDONLY).get()) != 0) throw_file_error(entry.path(), "sync", errno);
    }
  }
  sync_directory(folder);
}

// A start that was killed before config.yaml leaves some of these, and nothing of value.
bool is_left_by_a_start(const std::string& name) {
  static constexpr std::array names = {
      "resolved.yaml", "command.txt",       "environment.json", "config.yaml.tmp",
      "log.txt",       "resolved.yaml.tmp", "command.txt.tmp",  "environment.json.tmp"};
  return std::find(names.begin(), names.end(), name) != names.end();
}

void refuse_occupied(const fs::path& path) {
  if (fs::exists(path) && !fs::is_directory(path)) {
    throw ConfigError("{}: a file is in the way of the run folder; choose another job.output_dir", path.string());
  }
  if (fs::exists(path / "config.yaml")) {
    throw ConfigError(
        "{}: a run is already here; continue it with `retort resume {}`, or choose another job.output_dir",
        path.string(), shell_command({path.string()}));
  }
  for (const fs::path& entry : entries(path)) {
    if (is_left_by_a_start(entry.filename().string())) continue;
    throw ConfigError(
        "{}: the folder is not empty and holds no run (for `retort resume`); got '{}'; choose another "
        "job.output_dir",
        path.string(), entry.filename().string());
  }
}

}  // namespace

std::vector<Checkpoint> list_checkpoints(const fs::path& run) {
  return guarded([&] {
    std::vector<Checkpoint> out;
    for (const fs::path& entry : entries(run / "checkpoints")) {
      const auto step = step_of(entry.filename().string());
      if (step && is_complete(entry)) out.push_back({*step, entry});
    }
    std::sort(out.begin(), out.end(), [](const Checkpoint& a, const Checkpoint& b) { return a.step < b.step; });
    return out;
  });
}

std::optional<Checkpoint> newest_checkpoint(const fs::path& run) {
  const auto all = list_checkpoints(run);
  return all.empty() ? std::nullopt : std::optional(all.back());
}

namespace {
std::optional<Checkpoint> linked_checkpoint(const fs::path& run, const char* link) {
  std::error_code error;
  const fs::path target = fs::read_symlink(run / link, error);
  for (const Checkpoint& checkpoint : list_checkpoints(run)) {
    if (!error && checkpoint.path.filename() == target.filename()) return checkpoint;
  }
  return std::nullopt;
}
}  // namespace

std::optional<Checkpoint> best_checkpoint(const fs::path& run) { return linked_checkpoint(run, "best"); }

std::map<std::string, MetricSeries> read_metrics(const fs::path& run) {
  const fs::path path = run / "metrics.jsonl";
  std::map<std::string, MetricSeries> out;
  if (!guarded([&] { return fs::exists(path); })) return out;
  for_each_metrics_line(read_file(path), path, [&](const nlohmann::ordered_json& line, std::size_t) {
    const auto step = line["step"].get<std::int64_t>();
    for (const auto& [name, value] : line.items()) {
      if (name == "step") continue;
      out[name].steps.push_back(step);
      out[name].values.push_back(metric_value(value));
    }
    return true;
  });
  return out;
}

std::string shell_command(const std::vector<std::string>& arguments) {
  static constexpr std::string_view safe = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./=:,+@%";
  std::string out;
  for (const std::string& argument : arguments) {
    if (!out.empty()) out += ' ';
    if (!argument.empty() && argument.find_first_not_of(safe) == argument.npos) {
      out += argument;
      continue;
    }
    out += '\'';
    for (const char c : argument) c == '\'' ? out += "'\\''" : out += c;
    out += '\'';
  }
  return out;
}

RunFolder::RunFolder(fs::path path) : path_(std::move(path)), checkpoints_(path_ / "checkpoints") {
  log_ = open_file(path_ / "log.txt", O_RDWR | O_CREAT | O_APPEND);
  if (::flock(log_.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    throw ConfigError("{}: another process is working on this run; wait for it or stop it", path_.string());
  }
}

RunFolder RunFolder::create(const fs::path& path, const RunFiles& files) {
  return guarded([&] {
    refuse_occupied(path);
    fs::create_directories(path);
    RunFolder run(path);
    // Another process may have been quicker between the look and the lock.
    refuse_occupied(path);
    write_file_atomic(path / "resolved.yaml", files.resolved);
    write_file_atomic(path / "command.txt", files.command + "\n");
    write_file_atomic(path / "environment.json", files.environment);
    write_file_atomic(path / "config.yaml", files.config);
    run.metrics_ = open_file(path / "metrics.jsonl", O_RDWR | O_CREAT | O_APPEND);
    return run;
  });
}

RunFolder RunFolder::resume(const fs::path& path, const std::string& command) {
  return guarded([&] {
    if (!fs::exists(path / "config.yaml")) {
      throw ConfigError("{}: there is no run here; start one with `retort run JOB`", path.string());
    }
    RunFolder run(path);
    run.metrics_ = open_file(path / "metrics.jsonl", O_RDWR | O_CREAT | O_APPEND);
    run.clean_checkpoints();
    if (const auto newest = newest_checkpoint(path)) run.link("latest", newest->path);
    append(open_file(path / "command.txt", O_RDWR | O_CREAT | O_APPEND).get(), path / "command.txt", command + "\n");
    return run;
  });
}

void RunFolder::log(std::string_view line) {
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm utc{};
  ::gmtime_r(&now, &utc);
  char stamp[32];
  std::strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%SZ", &utc);
  append(log_.get(), path_ / "log.txt", fmt::format("{} {}\n", stamp, line));
}

void RunFolder::write_metrics(std::int64_t step, const std::vector<std::pair<std::string, double>>& values) {
  nlohmann::ordered_json line;
  line["step"] = step;
  for (const auto& [name, value] : values) {
    if (std::isfinite(value)) {
      line[name] = value;
    } else {
      line[name] = std::isnan(value) ? "nan" : value > 0 ? "inf" : "-inf";
    }
  }
  append(metrics_.get(), path_ / "metrics.jsonl",
         line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
}

void RunFolder::rewind_metrics(std::int64_t step) {
  const fs::path path = path_ / "metrics.jsonl";
  const std::string text = read_file(path);
  std::size_t keep = 0;
  for_each_metrics_line(text, path, [&](const nlohmann::ordered_json& line, std::size_t end) {
    if (line["step"].get<std::int64_t>() > step) return false;
    keep = end;
    return true;
  });
  if (keep < text.size() && ::ftruncate(metrics_.get(), static_cast<off_t>(keep)) != 0) {
    throw_file_error(path, "shorten", errno);
  }
}

void RunFolder::place(const fs::path& temporary, std::int64_t step) {
  const fs::path target = checkpoints_ / step_name(step);
  const fs::path old = checkpoints_ / (std::string(kTemporary) + "old-" + step_name(step));
  fs::remove_all(old);
  if (fs::exists(target)) fs::rename(target, old);
  fs::rename(temporary, target);
  sync_directory(checkpoints_);
  fs::remove_all(old);
}

// A temporary folder with DONE was killed just before its last rename and is as good as placed.
void RunFolder::clean_checkpoints() {
  for (const fs::path& entry : entries(checkpoints_)) {
    const std::string name = entry.filename().string();
    const bool temporary = name.starts_with(kTemporary);
    const auto step = step_of(temporary ? name.substr(kTemporary.size()) : name);
    if (temporary && step && is_complete(entry)) {
      place(entry, *step);
    } else if (temporary || (step && !is_complete(entry))) {
      fs::remove_all(entry);
    }
  }
}

void RunFolder::link(const std::string& name, const fs::path& checkpoint) {
  const fs::path temporary = path_ / (std::string(kTemporary) + name);
  fs::remove(temporary);
  fs::create_directory_symlink(fs::path("checkpoints") / checkpoint.filename(), temporary);
  fs::rename(temporary, path_ / name);
  sync_directory(path_);
}

Checkpoint RunFolder::save_checkpoint(std::int64_t step, const std::function<void(const fs::path& folder)>& save) {
  return guarded([&] {
    const fs::path temporary = checkpoints_ / (std::string(kTemporary) + step_name(step));
    fs::remove_all(temporary);
    fs::create_directories(temporary);
    try {
      save(temporary);
      sync_tree(temporary);
      write_file_atomic(temporary / "DONE", fmt::format("step {}\n", step));
    } catch (...) {
      std::error_code ignored;  // the error worth reporting is the one on its way
      fs::remove_all(temporary, ignored);
      throw;
    }
    place(temporary, step);
    const Checkpoint checkpoint{step, checkpoints_ / step_name(step)};
    link("latest", checkpoint.path);
    return checkpoint;
  });
}

void RunFolder::mark_best(std::int64_t step) {
  guarded([&] {
    const fs::path checkpoint = checkpoints_ / step_name(step);
    if (!is_complete(checkpoint))
      throw IoError("{}: cannot be the best checkpoint; it is not complete", checkpoint.string());
    link("best", checkpoint);
  });
}

void RunFolder::prune_checkpoints(int keep_last) {
  if (keep_last < 1)
    throw ValueError("prune_checkpoints: at least one checkpoint must stay; got keep_last {}", keep_last);
  guarded([&] {
    const auto all = list_checkpoints(path_);
    const auto best = linked_checkpoint(path_, "best"), latest = linked_checkpoint(path_, "latest");
    for (std::size_t i = 0; i + static_cast<std::size_t>(keep_last) < all.size(); ++i) {
      const bool wanted = (best && best->step == all[i].step) || (latest && latest->step == all[i].step);
      if (wanted) continue;
      // Renamed first: a half-removed folder must not look like a checkpoint.
      const fs::path doomed = checkpoints_ / (std::string(kTemporary) + "old-" + step_name(all[i].step));
      fs::remove_all(doomed);
      fs::rename(all[i].path, doomed);
      fs::remove_all(doomed);
    }
  });
}

}  // namespace retort
