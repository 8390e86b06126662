// distill/train/job.h -- a job file made into the things a run needs: data, roles, terms, phases, evaluation.
#pragma once
#include <filesystem>

#include "distill/train/evaluate.h"
#include "distill/train/generation.h"
#include "distill/train/protocol.h"
#include "distill/train/text_evaluate.h"
#include "distill/train/top_k_table.h"
#include "distill/train/trainer.h"

namespace retort {

struct EvalSpec {
  EvalData data;                                           ///< images; no set: `texts`
  std::optional<TextEvalSpec> texts;                       ///< of language models
  std::int64_t every = 0;                                  ///< steps between evaluations; 0: only at phase ends
  std::vector<std::pair<std::string, std::string>> roles;  ///< role and the words it is reported under
};

/// The metric of an evaluation that decides which checkpoint `best` names: `acc/top1/ROLE`, `eval/ce/ROLE` or
/// `eval/bpb/ROLE`.
struct KeepBest {
  std::string metric, role;
  bool higher = true;  ///< higher values are better
};

struct RunSpec {
  std::int64_t log_every = 50, save_every = 0;  ///< save_every 0: only at the end of phases
  int keep_last = 3;
  int threads = 0;         ///< 0: as the OpenMP runtime decides
  double timeout = 30;     ///< seconds after which a silent rank is given up
  TrainerOptions trainer;  ///< run.zero, run.capture
  KeepBest keep_best;
};

/// A model whose answers are kept in a table instead of being computed at every step.
struct TableSpec {
  std::string role, source;
};

struct Job {
  std::string name, title;
  std::filesystem::path folder;  ///< OUTPUT_DIR/NAME
  std::string raw, resolved;     ///< the file as written, and after everything was read
  std::vector<std::uint64_t> seeds;
  Setup setup;
  EvalSpec eval;
  std::optional<Protocol> protocol;      ///< how a synthetic set is judged at the end
  std::optional<Generation> generation;  ///< what samplers are run, and how their samples are judged
  ModelSizes sizes;                      ///< of the job's data
  RunSpec run;
  std::vector<TableSpec> tables;
  std::vector<ClassMean> class_means;
  std::vector<TopKSpec> top_k;
  std::int64_t predicted_peak = 0;  ///< bytes, from plan_job; 0: not planned
};

/// Where a job or its checkpoint is looked for: the path itself, then the folder of jobs that came with Retort.
std::filesystem::path find_job(const std::string& name_or_path);
/// The job file with `extends` and overrides applied, method preset merged in; nothing is built.
Config read_job(const std::filesystem::path& file, const std::vector<std::string>& overrides);
/// What the command line calls a job: a file, a built-in job, or a method, which then runs on the built-in task that
/// the override `job.task=TASK` names; a preset's `task` says what `tiny` means for it. Throws ConfigError naming what
/// there is.
struct OpenedJob {
  std::filesystem::path file;
  Config config;
};
OpenedJob open_job(const std::string& name, const std::vector<std::string>& overrides);
/// What run.device asks for: the processor for auto and cpu, else a GPU by kind and number ("emu", "cuda:1"), which
/// need not be there. Throws ConfigError at the key.
Device chosen_device(Config& config);
/// Builds the job on `device` (cpu, emu, cuda, or meta for planning). Every key must have been read by the end: throws
/// ConfigError naming the unknown ones. `seed` replaces job.seed when given.
Job build_job(Config config, const std::filesystem::path& file, Device device, std::optional<std::uint64_t> seed = {});

/// The role on the job's evaluation data, images or texts; ranks share the work. On the meta device only the shapes of
/// one batch run.
Evaluation evaluate_role(const Job& job, const std::string& role, Communicator* ranks = nullptr);

/// Fills the stores of class means and of likeliest tokens, then the tables of answers (teachers with mode: cached) by
/// running those roles over their source's data set; kept in `folder`/tables for resumption, together with the role's
/// fingerprint. On meta only shapes are made.
void fill_tables(Job& job, const std::filesystem::path& folder);
/// Roles answer by their models again: a table covers its source's data set only.
void drop_tables(Job& job);

/// Puts the values of a preset's `trial: {NAME: value}` where its `numbers` say `job`: what built-in tasks and checks
/// run with, where the paper gives no number and a job has to.
void apply_trial(Config& method);

/// Names and texts of the built-in method presets, by slug.
const std::map<std::string, std::string>& method_presets();

/// A published method that Retort knows of, with a preset or without.
struct CataloguedMethod {
  std::string slug, row, family, title;
};
/// distill/methods/catalogue.tsv, by slug.
const std::map<std::string, CataloguedMethod>& method_catalogue();

}  // namespace retort
