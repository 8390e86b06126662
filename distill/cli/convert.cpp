// distill/cli/convert.cpp -- the commands between formats: convert and export.
#include "distill/convert/convert.h"

#include <cstdio>

#include "distill/cli/commands.h"
#include "tensor/error.h"

namespace retort::cli {

namespace fs = std::filesystem;

namespace {
NameTable table_of(const std::string& names) { return names.empty() ? NameTable() : NameTable::read(names); }

/// An architecture, or auto, auto(text), auto(vision scale=learned).
void read_into(const std::string& text, ConvertSpec& spec) {
  if (text.empty()) return;
  Call call = parse_call(text, "--into");
  spec.recognise = call.name == "auto";
  if (!spec.recognise) {
    spec.into = std::move(call);
    return;
  }
  CallArgs args(call);
  spec.tower.name = args.word("tower", "");
  const std::string scale = args.word("scale", "none");
  if (scale != "none" && scale != "learned") call.fail("scale is none or learned; got " + scale);
  spec.tower.scaled = scale == "learned";
  args.done();
  if (spec.tower.scaled && spec.tower.name.empty()) call.fail("a scale is that of a tower");
}

/// model.safetensors, model.safetensors.index.json -> model.h5, beside it.
fs::path checkpoint_beside(fs::path in) {
  if (in.string().ends_with(".index.json")) in.replace_extension().replace_extension();
  return in.replace_extension(".h5");
}
}  // namespace

int convert(const ConvertOptions& options) {
  ConvertSpec spec;
  spec.in = options.in;
  spec.names = table_of(options.names);
  read_into(options.into, spec);
  spec.role = options.role;
  spec.partial = options.partial;
  const Conversion conversion(spec);
  fmt::print("{}: {}\n{}", options.in, conversion.file().format(), conversion.coverage().text());
  if (spec.recognise) fmt::print("{}\n", conversion.arch());
  std::fflush(stdout);
  const fs::path out = options.out.empty() ? checkpoint_beside(weights_in(options.in)) : fs::path(options.out);
  conversion.write(out);
  fmt::print("{}\n", out.string());
  return 0;
}

int export_checkpoint(const ExportOptions& options) {
  const bool recognise = options.names == "auto";
  const NameTable names = recognise ? NameTable() : table_of(options.names);
  const std::size_t count = export_safetensors(options.in, options.out, names, options.role, recognise);
  fmt::print("{}: {} tensors\n", options.out, count);
  return 0;
}

}  // namespace retort::cli
