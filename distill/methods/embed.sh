#!/bin/sh
# Writes a C++ source with every preset of this folder as text: embed.sh FOLDER OUTPUT.
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
  printf '  };\n  return presets;\n}\n\n}  // namespace retort\n'
} > "$2"
