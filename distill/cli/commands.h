// distill/cli/commands.h -- one function per subcommand; each returns the exit code.
#pragma once
#include <string>
#include <vector>

#include "distill/text/generate.h"

namespace retort::cli {

/// `overrides` are key.path=value; `command` is the command line as typed, kept in the run folder.
int run(const std::string& job, const std::vector<std::string>& overrides, const std::vector<std::string>& command);
/// Runs a job on `ranks` processes of this machine, or goes on with a run folder; the first failure ends the others,
/// and its code is returned.
int launch(int ranks, const std::string& job, const std::vector<std::string>& overrides);
int resume(const std::string& folder, const std::vector<std::string>& command);
int plan(const std::string& job, const std::vector<std::string>& overrides);
/// Writes what fixed roles answer to a job's texts (stores of kind top_k) into its folder, for jobs to read.
int capture(const std::string& job, const std::vector<std::string>& overrides);
/// A run folder (its newest checkpoint, or best with `best`), or a job whose roles come from files.
int eval(const std::string& run_or_job, const std::vector<std::string>& overrides, bool best);
struct EvalTextsOptions {
  std::string checkpoint, role, tokenizer;  ///< see SavedLmSpec
  std::string dtype = "f32";
  std::string data;                     ///< text, or JSON lines
  std::string chat;                     ///< a format, "auto", or "" and "none" for plain texts
  std::int64_t window = 0, stride = 0;  ///< see PerplexitySpec
};
/// Perplexity of a language model on a file of texts.
int eval_texts(const EvalTextsOptions& options);
/// Format, metadata and tensors of a file that `open_tensor_file` knows; checksums are verified.
int inspect(const std::string& file);
struct ConvertOptions {
  std::string in, out;  ///< a file, or a folder with one; without `out`, a .h5 beside the file
  std::string names;    ///< a table of names (distill/convert/name_table.h), or ""
  std::string into;     ///< an architecture, "auto" by the model's own configuration, or ""
  std::string role = "model";
  bool partial = false;
};
/// Prints the account of tensors and writes a checkpoint.
int convert(const ConvertOptions& options);

struct ExportOptions {
  std::string in, out, names, role;
};
/// Writes safetensors, under the names that the table came from.
int export_checkpoint(const ExportOptions& options);
/// Counts what a tokenizer makes of a text file and whether it comes back; with `ids` prints the ids of each line.
int tokenize(const std::string& file, const std::string& tokenizer, bool ids);
struct SampleOptions {
  std::string checkpoint, role, tokenizer;  ///< see SavedLmSpec
  std::string dtype = "f32";
  std::vector<std::string> prompts;  ///< without any, the lines of `file`, or standard input
  std::string file;
  Sampling sampling;
  std::int64_t tokens = 128, count = 1, batch = 16;
  std::uint64_t seed = 1;
  std::vector<std::string> stops;
  std::string chat, system;  ///< a format, "auto", or "" and "none" for plain texts; what the system says
};
/// Prints what a language model makes of prompts, a single text as it is written; costs go to standard error.
int sample(const SampleOptions& options);
/// One preset: formula, source, and the preset itself.
int methods(const std::string& name);
/// A line for each preset: slug, family, row of the catalogue, title, kinds of terms and sources.
int list_methods();
/// Published methods without a preset.
int missing_methods();
/// Golden values of one preset, or of all: 1 when one does not hold.
int check_methods(const std::string& name);
int doctor();

}  // namespace retort::cli
