#!/bin/sh
# Writes a C++ source with every preset of this folder and the catalogue as text: embed.sh FOLDER OUTPUT.
set -eu
{
  printf '#include "distill/train/job.h"\n\nnamespace retort {\n\n'
  printf 'const std::map<std::string, std::string>& method_presets() {\n'
  printf '  static const std::map<std::string, std::string> presets{\n'
  for file in "$1"/*.yaml; do
    printf '      {"%s", R"retort(' "$(basename "$file" .yaml)"
    cat "$file"
    printf ')retort"},\n'
  done
  printf '  };\n  return presets;\n}\n\nconst std::string& catalogue_text() {\n  static const std::string text =\n'
  # A line each: compilers limit the length of one literal.
  sed 's/.*/      R"retort(&)retort" "\\n"/' "$1/catalogue.tsv"
  printf '      "";\n  return text;\n}\n\n}  // namespace retort\n'
} > "$2"
