// distill/cli/main.cpp -- the command line of retort.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>

#include "distill/cli/commands.h"
#include "retort_config.h"
#include "tensor/error.h"

namespace {

constexpr const char* kFooter =
    "Examples:\n"
    "  retort run fashion_kd                    distil on Fashion-MNIST, built-in job\n"
    "  retort run job.yaml optim.student.adamw.lr=0.001 job.name=slow\n"
    "  retort launch -n 2 fashion_edm           on two processes of this machine that share every batch\n"
    "  retort resume runs/fashion_kd            continue a run that was stopped or killed\n"
    "  retort plan fashion_kd                   memory and steps before anything runs\n"
    "  retort inspect model.safetensors         tensors and metadata of a file, of any format; checksums of ours\n"
    "  retort convert model.gguf model.h5       a checkpoint from another program's file, all tensors accounted for\n"
    "  retort methods kd                        formula, roles and phases of a method\n"
    "Exit codes: 0 done, 1 stopped or unknown, 2 job or command line, 3 files, 10-18 other errors (see README).";

int guarded(const std::function<int()>& command) {
  try {
    return command();
  } catch (const retort::Error& e) {
    std::fprintf(stderr, "retort: %s: %s\n", std::string(e.kind()).c_str(), e.what());
    return e.exit_code();
  } catch (const std::exception& e) {
    std::fprintf(stderr, "retort: %s\n", e.what());
    return 1;
  }
}

}  // namespace

int main(int argc, char** argv) {
  namespace cli = retort::cli;
  const std::vector<std::string> command(argv, argv + argc);
  CLI::App app{"Retort: teacher-student distillation on a native tensor engine."};
  app.footer(kFooter);
  app.set_version_flag("--version", "retort " RETORT_VERSION);
  app.require_subcommand(1);

  std::string target;
  std::vector<std::string> overrides;
  bool best = false, check = false, missing = false;
  std::function<int()> chosen;
  const auto add = [&](const char* name, const char* what, const char* argument, bool required, bool with_overrides,
                       std::function<int()> f) {
    CLI::App* sub = app.add_subcommand(name, what);
    if (argument) {
      auto* option = sub->add_option(argument, target);
      if (required) option->required();
    }
    if (with_overrides) sub->add_option("overrides", overrides, "key.path=value ...");
    sub->callback([&chosen, f] { chosen = f; });
    return sub;
  };
  add("run", "Run a job, by name or file, in a new run folder", "job", true, true,
      [&] { return cli::run(target, overrides, command); });
  int ranks = 0;
  add("launch", "Run a job on several processes of this machine", "job", true, true,
      [&] { return cli::launch(ranks, target, overrides); })
      ->add_option("-n", ranks, "how many")
      ->required();
  add("resume", "Continue a run from its newest checkpoint", "run", true, false,
      [&] { return cli::resume(target, command); });
  add("plan", "Predict memory and steps of a job without running it", "job", true, true,
      [&] { return cli::plan(target, overrides); });
  add("capture", "Write a teacher's likeliest tokens on a job's texts to files", "job", true, true,
      [&] { return cli::capture(target, overrides); });
  add("eval", "Evaluate the roles of a run folder or of a job", "run_or_job", true, true, [&] {
    return cli::eval(target, overrides, best);
  })->add_flag("--best", best, "the best checkpoint instead of the newest");
  add("inspect", "List what a file of tensors holds: HDF5, safetensors, GGUF, PyTorch", "file", true, false,
      [&] { return cli::inspect(target); });
  cli::ConvertOptions convert;
  CLI::App* converting = add("convert", "Turn a file of another program into a checkpoint", nullptr, false, false,
                             [&] { return cli::convert(convert); });
  converting->add_option("in", convert.in, "safetensors, GGUF, PyTorch, an index of shards, or their folder")
      ->required();
  converting->add_option("out", convert.out, "the checkpoint; left out: a .h5 beside the input");
  converting->add_option("--names", convert.names, "YAML: rename, drop, tied, transpose, interleaved, squeeze");
  converting->add_option(
      "--into", convert.into,
      "the architecture whose tensors it must have: \"llama(...)\"; auto: by its config.json, auto(text) a "
      "tower of it");
  converting->add_option("--role", convert.role, "what the checkpoint calls the model");
  converting->add_flag("--partial", convert.partial, "write although tensors are missing, unexpected or mismatched");
  cli::ExportOptions exported;
  CLI::App* exporting = add("export", "Write a checkpoint as safetensors", nullptr, false, false,
                            [&] { return cli::export_checkpoint(exported); });
  exporting->add_option("in", exported.in, "checkpoint")->required();
  exporting->add_option("out", exported.out, "safetensors file")->required();
  exporting->add_option("--names", exported.names,
                        "a table of names; auto: its family's; left out: that of its conversion");
  exporting->add_option("--role", exported.role, "which, where there are several");
  std::string tokenizer;
  bool ids = false;
  CLI::App* tokenizing = add("tokenize", "Count a text's tokens and look whether they spell it", nullptr, false, false,
                             [&] { return cli::tokenize(target, tokenizer, ids); });
  tokenizing->add_option("file", target, "text in UTF-8")->required();
  tokenizing->add_option("tokenizer", tokenizer, "tokenizer.json or GGUF")->required();
  tokenizing->add_flag("--ids", ids, "print the ids of each line");
  CLI::App* methods = add("methods", "List the built-in methods, or describe one", "name", false, false, [&] {
    if (missing) return cli::missing_methods();
    if (check) return cli::check_methods(target);
    return target.empty() ? cli::list_methods() : cli::methods(target);
  });
  methods->add_flag("--check", check, "compare the terms with the golden values of the method");
  methods->add_flag("--missing", missing, "published methods without a preset");
  add("doctor", "Check this machine and this build", nullptr, false, false, [] { return cli::doctor(); });
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    const int code = app.exit(e);
    return code == 0 ? 0 : 2;
  }
  return guarded(chosen);
}
