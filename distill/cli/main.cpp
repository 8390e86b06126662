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
    "  retort sample model.h5 'Once upon a time'  what a language model writes; also retort eval model.h5 --data FILE\n"
    "  retort methods kd                        formula, roles and phases of a method\n"
    "Exit codes: 0 done, 1 stopped or unknown, 2 job or command line, 3 files, 10-18 other errors (see README).";

constexpr const char* kSampleFooter =
    "Examples:\n"
    "  retort convert SmolLM2-135M.gguf smol.h5 --into auto\n"
    "  retort sample smol.h5 'Once upon a time' --greedy --tokens 64\n"
    "  retort sample smol.h5 'What is the capital of France?' --chat auto --greedy\n"
    "  retort sample smol.h5 --file prompts.txt --count 4 --temperature 0.8 --top-p 0.95 --seed 7\n"
    "  retort sample smol.h5 --stop $'\\n\\n' < prompt.txt\n"
    "A single text is printed as it is written, several with their prompts. Draws depend on the seed, the prompt's "
    "place\n"
    "and the position alone, so that --batch changes no text.";

template <class Options>
void add_language_model_options(CLI::App* sub, Options& o) {
  sub->add_option("--tokenizer", o.tokenizer,
                  "tokenizer.json, tokenizer.model, GGUF, checkpoint, or bytes; left out: the checkpoint's");
  sub->add_option("--dtype", o.dtype, "to compute in")->check(CLI::IsMember({"f32", "bf16", "f64"}));
  sub->add_option("--role", o.role, "which, where the checkpoint has several");
}

/// What measuring a checkpoint on texts adds to `eval`.
void add_eval_options(CLI::App* sub, retort::cli::EvalTextsOptions& o) {
  CLI::Option* data =
      sub->add_option("--data", o.data, "a text, or .jsonl with {\"text\"} on each line: perplexity of a checkpoint");
  sub->add_option("--chat", o.chat, "lines have {\"messages\"}, whose answers count: auto, chatml, llama3 ..");
  sub->add_option("--window", o.window, "tokens that are read at a time; left out: at most 1024")
      ->check(CLI::PositiveNumber);
  sub->add_option("--stride", o.stride, "tokens between windows; left out: half of one")->check(CLI::PositiveNumber);
  add_language_model_options(sub, o);
  data->excludes(sub->get_option("--best"))->excludes(sub->get_option("overrides"));
  for (const char* name : {"--chat", "--window", "--stride", "--tokenizer", "--dtype", "--role"})
    sub->get_option(name)->needs(data);
  sub->footer(
      "Examples:\n"
      "  retort eval runs/slower --best\n"
      "  retort eval smol.h5 --data notes.txt --window 2048 --stride 512\n"
      "  retort eval smol.h5 --data chats.jsonl --chat auto");
}

void add_sample_options(CLI::App* sub, retort::cli::SampleOptions& o, bool& greedy) {
  sub->add_option("checkpoint", o.checkpoint, "of retort convert --into, or a run's model.h5")->required();
  sub->add_option("prompts", o.prompts, "texts to go on from; left out: --file, or standard input as one");
  sub->add_option("--file", o.file, "a prompt on each line");
  sub->add_option("--tokens", o.tokens, "at most so many for each")->check(CLI::PositiveNumber);
  sub->add_flag("--greedy", greedy, "always the likeliest token");
  const auto number = [&](const char* name, double& value, double least, double most, const char* what) {
    sub->add_option(name, value, what)->check(CLI::Range(least, most))->capture_default_str();
  };
  number("--temperature", o.sampling.temperature, 0, 1e6, "divides the logits; 0 is --greedy");
  number("--top-p", o.sampling.top_p, 1e-9, 1, "of the likeliest tokens, those that reach this probability");
  number("--min-p", o.sampling.min_p, 0, 1, "of the likeliest token's probability at least this share");
  sub->add_option("--top-k", o.sampling.top_k, "of so many likeliest tokens; 0: of all")->check(CLI::NonNegativeNumber);
  sub->add_option("--seed", o.seed, "of the draws: seed, prompt and position give the number");
  sub->add_option("--count", o.count, "continuations of each prompt")->check(CLI::PositiveNumber);
  sub->add_option("--batch", o.batch, "how many are written at a time")->check(CLI::PositiveNumber);
  sub->add_option("--stop", o.stops, "a text before which to end; may be given again")->allow_extra_args(false);
  sub->add_option("--chat", o.chat, "prompts are questions: auto (the model's own format), chatml, llama3, mistral ..");
  sub->add_option("--system", o.system, "with --chat: what the system says first");
  add_language_model_options(sub, o);
  sub->footer(kSampleFooter);
}

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
  cli::EvalTextsOptions texts;
  CLI::App* evaluating = add("eval", "Evaluate the roles of a run folder or a job, or a language model on texts",
                             "run_or_job", true, true, [&] {
                               texts.checkpoint = target;
                               return texts.data.empty() ? cli::eval(target, overrides, best) : cli::eval_texts(texts);
                             });
  evaluating->add_flag("--best", best, "the best checkpoint instead of the newest");
  add_eval_options(evaluating, texts);
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
  tokenizing->add_option("tokenizer", tokenizer, "tokenizer.json, tokenizer.model, GGUF or checkpoint")->required();
  tokenizing->add_flag("--ids", ids, "print the ids of each line");
  cli::SampleOptions sampled;
  bool greedy = false;
  CLI::App* sampling = add("sample", "Let a language model go on from prompts", nullptr, false, false, [&] {
    if (greedy) sampled.sampling.temperature = 0;
    return cli::sample(sampled);
  });
  add_sample_options(sampling, sampled, greedy);
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
