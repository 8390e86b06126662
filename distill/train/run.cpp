#include "distill/train/run.h"

#include <chrono>
#include <cmath>

#include "distill/data/thumbnail.h"
#include "distill/train/environment.h"
#include "distill/train/report.h"
#include "distill/train/state.h"

namespace retort {

namespace fs = std::filesystem;

namespace {
using Time = std::chrono::steady_clock;
double seconds_since(Time::time_point t) { return std::chrono::duration<double>(Time::now() - t).count(); }

std::string percent(double share) { return fmt::format("{:.2f}", 100 * share); }
std::string summary(const Evaluation& e) {
  return e.text ? text_summary(e) : fmt::format("{} % ({} samples)", percent(e.top1), e.samples);
}

class Run {
 public:
  /// On several ranks all but the first have no folder of their own, and write nothing. A single one is alone.
  Run(Job& job, RunFolder* folder, const fs::path& path, const RunObserver& observer, Communicator* ranks)
      : job_(job),
        folder_(folder),
        path_(path),
        observer_(observer),
        ranks_(ranks && ranks->world() > 1 ? ranks : nullptr) {}

  RunResult go() {
    start();
    RunResult result;
    while (!trainer_->finished()) {
      const std::string phase = trainer_->phase().name;
      step();
      const bool phase_ended = trainer_->finished() || trainer_->phase().name != phase;
      const std::int64_t at = trainer_->step();
      const bool evaluate_now = phase_ended || (job_.eval.every > 0 && at % job_.eval.every == 0);
      const bool save_now = phase_ended || (job_.run.save_every > 0 && at % job_.run.save_every == 0);
      if (evaluate_now) measure(phase, save_now);
      if (save_now) save();
      if (!trainer_->finished() && stop_requested()) {
        if (!save_now) save();
        say(fmt::format("stopped at step {} on request; continue with: retort resume {}", at, path_.string()));
        return result;
      }
    }
    finish(result);
    return result;
  }

 private:
  bool leads() const { return folder_ != nullptr; }

  void say(const std::string& text) {
    if (!leads()) return;
    folder_->log(text);
    observer_.line(text);
  }

  /// All ranks stop at the same step.
  bool stop_requested() {
    std::vector<std::int64_t> asked{observer_.stop_requested() ? 1 : 0};
    if (ranks_) ranks_->all_reduce(asked, Reduction::max, "stop");
    return asked[0] != 0;
  }

  /// Rank 0 first, so that the others find what it wrote.
  void tables_in_turn() {
    if (!leads()) ranks_->barrier("tables");
    fill_tables(job_, path_);
    if (leads() && ranks_) ranks_->barrier("tables");
  }

  /// The newest checkpoint, by the view of rank 0.
  std::optional<Checkpoint> starting_point() {
    std::optional<Checkpoint> newest;
    if (leads()) newest = newest_checkpoint(path_);
    if (!ranks_) return newest;
    std::vector<std::int64_t> step{newest ? newest->step : -1};
    ranks_->broadcast(step, 0, "checkpoint");
    if (leads() || step[0] < 0) return newest;
    for (const Checkpoint& c : list_checkpoints(path_))
      if (c.step == step[0]) return c;
    throw IoError("{}: rank {} does not see the checkpoint of step {}; hint: all ranks need the same files",
                  path_.string(), ranks_->rank(), step[0]);
  }

  void start() {
    const auto t = Time::now();
    tables_in_turn();
    if (!job_.tables.empty()) say(fmt::format("teacher answers ready in {:.1f} s", seconds_since(t)));
    trainer_ = std::make_unique<Trainer>(job_.setup, ranks_, job_.run.trainer);
    if (const auto newest = starting_point()) {
      info_ = load_checkpoint(newest->path, job_.setup, *trainer_);
      if (leads() && info_.best_step >= 0) folder_->mark_best(info_.best_step);
      say(fmt::format("continuing at step {} of {}", info_.step, trainer_->total_steps()));
    }
    if (leads()) folder_->rewind_metrics(trainer_->step());
    interval_begin_ = Time::now();
    interval_step_ = begin_step_ = trainer_->step();
    begin_ = interval_begin_;
  }

  void step() {
    const std::string phase = trainer_->phase().name;
    const std::int64_t rows = samples_per_step();
    const Metrics metrics = trainer_->advance();
    const std::int64_t at = trainer_->step();
    if (!leads()) return;
    if (at % job_.run.log_every != 0 && at != trainer_->total_steps()) return;
    const double elapsed = seconds_since(interval_begin_), steps = static_cast<double>(at - interval_step_);
    Metrics line = metrics;
    line.emplace_back("step_ms", 1e3 * elapsed / steps);
    line.emplace_back("samples_per_s", steps * static_cast<double>(rows) / elapsed);
    line.emplace_back("mem/peak", static_cast<double>(MemoryAccount::current_account().peak()));
    line.emplace_back("mem/resident", static_cast<double>(peak_resident_bytes()));
    folder_->write_metrics(at, line);
    const double left = seconds_since(begin_) / static_cast<double>(at - begin_step_) *
                        static_cast<double>(trainer_->total_steps() - at);
    observer_.progress(
        fmt::format("step {}/{}  {}  loss {:.4f}  {:.1f} ms  {:.0f} samples/s  {:.0f} MiB  {:.0f} s left", at,
                    trainer_->total_steps(), phase, metrics[0].second, 1e3 * elapsed / steps,
                    steps * static_cast<double>(rows) / elapsed,
                    static_cast<double>(MemoryAccount::current_account().peak()) / 1048576.0, left));
    interval_begin_ = Time::now();
    interval_step_ = at;
  }

  std::int64_t samples_per_step() const {
    std::int64_t n = 0;
    for (const UpdateSpec& u : trainer_->phase().updates)
      n = std::max(n, job_.setup.sources.at(job_.setup.term_source.at(u.terms[0].first))->batch);
    return n;
  }

  /// Evaluates the roles that the phase trains; remembers the best when a checkpoint will be there to point at.
  void measure(const std::string& phase, bool saving) {
    const auto begin = Time::now();
    for (const auto& [role, words] : job_.eval.roles) {
      if (!moves(role, phase)) continue;
      const Evaluation e = evaluate_role(job_, role, ranks_);
      if (!leads()) continue;
      const Metrics metrics = metrics_of(role, e);
      folder_->write_metrics(trainer_->step(), metrics);
      say(fmt::format("step {}: {} {} ({:.1f} s)", trainer_->step(), words, summary(e), seconds_since(begin)));
      if (saving) keep_best(metrics);
    }
    interval_begin_ = Time::now();
    interval_step_ = trainer_->step();
  }

  /// Whether the phase trains the role, or the role that it averages.
  bool moves(const std::string& role, const std::string& phase) const {
    const auto follower = job_.setup.followers.find(role);
    const std::string& trained = follower == job_.setup.followers.end() ? role : follower->second.of;
    for (const PhaseSpec& p : job_.setup.phases)
      for (const UpdateSpec& u : p.updates)
        if (p.name == phase && std::find(u.train.begin(), u.train.end(), trained) != u.train.end()) return true;
    return false;
  }

  void keep_best(const Metrics& metrics) {
    const KeepBest& best = job_.run.keep_best;
    for (const auto& [name, value] : metrics) {
      if (name != best.metric || std::isnan(value)) continue;
      const bool better = best.higher ? value > info_.best_value : value < info_.best_value;
      if (info_.best_step >= 0 && !better) continue;
      info_.best_step = trainer_->step();
      info_.best_value = value;
    }
  }

  void save() {
    if (!leads()) {
      trainer_->visit_state(StateUse::save, [](const std::string&, Tensor&) {});  // gives its share to rank 0
      return;
    }
    info_.step = trainer_->step();
    folder_->save_checkpoint(info_.step,
                             [&](const fs::path& tmp) { save_checkpoint(tmp, job_.setup, *trainer_, info_); });
    if (info_.best_step == info_.step) folder_->mark_best(info_.step);
    folder_->prune_checkpoints(job_.run.keep_last);
  }

  void finish(RunResult& result) {
    result.finished = true;
    observer_.all_saved();
    for (const std::string& line : trainer_->captured()) say("capture: " + line);
    drop_tables(job_);
    for (const auto& [role, words] : job_.eval.roles)
      result.evaluations.emplace_back(words, evaluate_role(job_, role, ranks_));
    if (job_.protocol) protocol_ = run_protocol(*job_.protocol, job_.setup, job_.eval.data, job_.sizes, ranks_);
    if (job_.generation) generated_ = run_generation(*job_.generation, job_.setup, job_.eval.data, ranks_);
    if (!leads()) return;
    note_protocol(result);
    note_generation();
    result.figures = figures(result);
    std::size_t width = 0;
    for (const auto& [words, e] : result.evaluations) width = std::max(width, words.size());
    for (const auto& [words, e] : result.evaluations)
      say(fmt::format("{:<{}}  {:>6}", words, width, e.text ? text_summary(e) : percent(e.top1) + " %"));
    result.memory = {job_.predicted_peak, MemoryAccount::current_account().peak(), peak_resident_bytes()};
    say(result.memory.text());
    report(result);
    say(fmt::format("report: {}", (path_ / "report.html").string()));
  }

  /// Networks trained on the synthetic set from scratch; one evaluation for each row of the table.
  void note_protocol(RunResult& result) {
    if (!job_.protocol) return;
    for (const ProtocolRow& row : protocol_) {
      const std::string name = fmt::format("{}, {}", row.images, row.view);
      result.evaluations.emplace_back(name, Evaluation{job_.eval.data.set->size(), row.spread.mean, 0});
      folder_->write_metrics(trainer_->step(), {{"acc/set/" + name, row.spread.mean},
                                                {"acc/set deviation/" + name, row.spread.deviation}});
    }
    table_ = protocol_table(*job_.protocol, protocol_);
    say_lines(table_);
  }

  std::vector<std::pair<std::string, double>> figures(const RunResult& result) const {
    std::vector<std::pair<std::string, double>> all;
    const auto add = [&](const std::string& words, const char* unit, const std::optional<double>& value) {
      if (value && !std::isnan(*value)) all.emplace_back(words + ", " + unit, *value);
    };
    for (const auto& [words, e] : result.evaluations) {
      if (!e.text) {
        add(words, "top-1 %", 100 * e.top1);
        continue;
      }
      add(words, "perplexity", std::exp(e.cross_entropy));
      add(words, "bits per byte", e.text->bits_per_byte);
      add(words, "KL(teacher || role)", e.text->kl_forward);
      add(words, "KL(role || teacher)", e.text->kl_reverse);
    }
    if (job_.generation && job_.generation->reference)
      for (const GeneratedRow& row : generated_.rows) add(row.name, "Frechet distance", row.spread.mean);
    return all;
  }

  void say_lines(std::string_view text) {
    while (!text.empty()) {
      const std::size_t end = text.find('\n');
      say(std::string(text.substr(0, end)));
      text.remove_prefix(end + 1);
    }
  }

  /// Samples of every row: their distances, samples.h5 and a picture of each.
  void note_generation() {
    if (!job_.generation) return;
    if (job_.generation->reference)
      folder_->write_metrics(trainer_->step(), {{"frechet/real test images", generated_.floor}});
    std::vector<std::pair<std::string, Tensor>> samples;
    for (std::size_t i = 0; i < generated_.rows.size(); ++i) {
      const GeneratedRow& row = generated_.rows[i];
      samples.emplace_back(row_file(row.name), row.shown);
      const auto picture = samples_png(*job_.generation, i, row);
      if (!picture.empty())
        write_file_atomic(path_ / ("samples_" + row_file(row.name) + ".png"), std::as_bytes(std::span(picture)));
      if (job_.generation->reference)
        folder_->write_metrics(trainer_->step(), {{"frechet/" + row.name, row.spread.mean},
                                                  {"frechet deviation/" + row.name, row.spread.deviation},
                                                  {"network calls/" + row.name, static_cast<double>(row.calls)}});
    }
    save_tensors(path_ / "samples.h5", samples);
    say_lines(generation_table(*job_.generation, generated_));
  }

  void add_generation(ReportData& data) {
    if (!job_.generation) return;
    if (job_.generation->reference)
      data.numbers.push_back({"real test images", fmt::format("{:.4g}", generated_.floor), "Fréchet", "the floor"});
    for (std::size_t i = 0; i < generated_.rows.size(); ++i) {
      const GeneratedRow& row = generated_.rows[i];
      const std::string calls = fmt::format("{} network calls", row.calls);
      if (job_.generation->reference)
        data.numbers.push_back({row.name, fmt::format("{:.4g}", row.spread.mean), "Fréchet",
                                fmt::format("± {:.2g}, {}", row.spread.deviation, calls)});
      auto picture = samples_png(*job_.generation, i, row);
      if (!picture.empty()) data.pictures.push_back({fmt::format("{}, {}", row.name, calls), std::move(picture)});
    }
    data.tables.push_back({"Samples", {}, generation_table(*job_.generation, generated_), true});
  }

  void add_protocol(ReportData& data) {
    if (!job_.protocol) return;
    for (const ProtocolRow& row : protocol_)
      data.numbers.push_back({row.images, percent(row.spread.mean), "%",
                              fmt::format("± {} under {}", percent(row.spread.deviation), row.view)});
    const auto& set = dynamic_cast<const PixelSet&>(*job_.setup.roles.at(job_.protocol->role).model);
    data.pictures.push_back({"The set, a class in each row", set_grid_png(set, 3)});
    data.tables.push_back({"Networks trained on the set", {}, table_, true});
  }

  void report(const RunResult& result) {
    ReportData data;
    data.title = job_.title;
    data.subtitle = fmt::format("{} steps, seed {}", trainer_->total_steps(), job_.setup.seed);
    if (job_.eval.data.set) {
      data.subtitle += fmt::format(", {} test images", job_.eval.data.set->size());
      if (!job_.eval.roles.empty()) add_answers(data);
    }
    add_protocol(data);
    add_generation(data);
    std::size_t i = 0;
    for (const auto& [role, words] : job_.eval.roles) {
      const Evaluation& e = result.evaluations[i++].second;
      const std::string size = fmt::format("{} parameters", parameter_count(*job_.setup.roles.at(role).model));
      if (e.text)
        add_text_scores(data, words, size, e);
      else
        data.numbers.push_back({words, percent(e.top1), "%", size});
    }
    ReportTable memory{"Memory", {}, result.memory.text()};
    data.tables.push_back(memory);
    write_report(path_, data);
  }

  /// Sixteen test images with what student and teacher say of them.
  void add_answers(ReportData& data) {
    const Role& student = job_.setup.roles.at(job_.run.keep_best.role);
    const auto teacher = job_.setup.roles.find("teacher");
    std::vector<std::int64_t> shown;
    for (std::int64_t k = 0; k < 16; ++k) shown.push_back(k * (job_.eval.data.set->size() / 16));
    const auto student_answers = answers_of(student, job_.eval.data, shown, job_.setup.device);
    const auto teacher_answers = teacher == job_.setup.roles.end()
                                     ? student_answers
                                     : answers_of(teacher->second, job_.eval.data, shown, job_.setup.device);
    const Dataset& set = *job_.eval.data.set;
    const auto answer = [&](const Answer& a) {  // a network may know more classes than the set
      const auto label = static_cast<std::size_t>(a.label);
      const bool named = label < set.class_names().size();
      return ReportAnswer{named ? set.class_names()[label] : fmt::format("class {}", label), a.probability};
    };
    for (std::size_t k = 0; k < shown.size(); ++k)
      data.samples.push_back({thumbnail_png(set, shown[k]), "",
                              set.class_names()[static_cast<std::size_t>(set.label(shown[k]))],
                              answer(teacher_answers[k]), answer(student_answers[k])});
  }

  Job& job_;
  RunFolder* folder_;
  fs::path path_;
  const RunObserver& observer_;
  Communicator* ranks_;
  std::unique_ptr<Trainer> trainer_;
  std::vector<ProtocolRow> protocol_;
  std::string table_;
  GenerationResult generated_;
  CheckpointInfo info_;
  Time::time_point interval_begin_, begin_;
  std::int64_t interval_step_ = 0, begin_step_ = 0;
};
}  // namespace

RunResult run_job(Job& job, RunFolder& folder, const RunObserver& observer) {
  return Run(job, &folder, folder.path(), observer, nullptr).go();
}

RunResult run_job(Job& job, RunFolder* folder, const fs::path& path, const RunObserver& observer, Communicator& ranks) {
  try {
    return Run(job, folder, path, observer, &ranks).go();
  } catch (const std::exception& e) {
    ranks.give_up(e.what());
    throw;
  }
}

PlanReport plan_job(Job& job) {
  PlanReport report;
  const MemoryAccount& account = MemoryAccount::current_account();
  const std::int64_t before_tables = account.current();
  fill_tables(job, {});
  report.table_bytes = account.current() - before_tables;
  Trainer trainer(job.setup);
  report.steps = trainer.total_steps();
  std::map<std::string, std::int64_t> optimizer_bytes;
  std::int64_t at = 0;
  for (const PhaseSpec& phase : job.setup.phases) {
    if (phase.steps == 0) continue;
    trainer.seek(at);
    MemoryAccount::current_account().reset_peak();
    std::int64_t state = 0;
    trainer.visit_state(StateUse::look, [&](const std::string& name, Tensor& t) {
      if (name.starts_with("update")) state += t.numel() * size_of(t.dtype());
    });
    for (const UpdateSpec& u : phase.updates)
      for (const std::string& r : u.train) optimizer_bytes[r] = std::max(optimizer_bytes[r], state);
    trainer.advance();
    report.phases.emplace_back(phase.name, account.peak());
    report.peak = std::max(report.peak, account.peak());
    at += phase.steps;
  }
  drop_tables(job);
  MemoryAccount::current_account().reset_peak();
  for (const auto& [role, words] : job.eval.roles) evaluate_role(job, role);
  if (job.protocol) run_protocol(*job.protocol, job.setup, job.eval.data, job.sizes);
  if (job.generation) run_generation(*job.generation, job.setup, job.eval.data);
  report.evaluation_peak = account.peak();
  report.peak = std::max(report.peak, report.evaluation_peak);
  for (auto& [name, role] : job.setup.roles) {
    PlanReport::Row row{name, role.model->arch(), 0, 0, optimizer_bytes[name]};
    for (const auto& p : parameters_of(role)) {
      row.parameters += p.parameter->value.numel();
      row.parameter_bytes += p.parameter->value.numel() * size_of(p.parameter->value.dtype());
      if (p.parameter->shadow.defined()) row.parameter_bytes += 2 * p.parameter->shadow.numel();
    }
    report.roles.push_back(row);
  }
  report.resident = resident_bytes();
  return report;
}

std::string MemoryUse::text() const {
  const auto mib = [](std::int64_t b) { return fmt::format("{:.2f} MiB", static_cast<double>(b) / 1048576.0); };
  return fmt::format("peak memory: {}tensors {}, resident {} (program, libraries and data sets included)",
                     predicted > 0 ? "predicted " + mib(predicted) + ", " : "", mib(allocator), mib(resident));
}

std::string PlanReport::text() const {
  const auto mib = [](std::int64_t b) { return fmt::format("{:10.2f} MiB", static_cast<double>(b) / 1048576.0); };
  std::string s =
      fmt::format("{:<14} {:>12} {:>14} {:>14}  {}\n", "role", "parameters", "weights", "optimiser", "architecture");
  for (const Row& r : roles)
    s += fmt::format("{:<14} {:>12} {:>14} {:>14}  {}\n", r.role, r.parameters, mib(r.parameter_bytes),
                     mib(r.optimizer_bytes), r.arch);
  if (table_bytes > 0) s += fmt::format("tables of answers {}\n", mib(table_bytes));
  for (const auto& [name, bytes] : phases) s += fmt::format("peak in phase {:<12} {}\n", name, mib(bytes));
  s += fmt::format("peak in evaluation    {}\n", mib(evaluation_peak));
  s += fmt::format("predicted peak        {}  over {} steps\n", mib(peak), steps);
  s += fmt::format("resident besides      {}  now: program, libraries, data sets\n", mib(resident));
  return s;
}

}  // namespace retort
