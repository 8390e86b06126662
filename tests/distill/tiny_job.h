// tests/distill/tiny_job.h -- a job small enough to run in a test: 64 images of 8x8 in four classes, written as IDX.
#pragma once
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "distill/train/job.h"
#include "tests/io/test_files.h"

namespace retort::testing {

inline void write_idx(const std::filesystem::path& file, const std::vector<std::int64_t>& dims,
                      const std::vector<std::uint8_t>& payload) {
  std::ofstream out(file, std::ios::binary);
  out.put(0).put(0).put(8).put(static_cast<char>(dims.size()));
  for (const std::int64_t d : dims)
    for (int shift = 24; shift >= 0; shift -= 8) out.put(static_cast<char>(d >> shift & 255));
  out.write(reinterpret_cast<const char*>(payload.data()), static_cast<std::streamsize>(payload.size()));
}

/// A job over the files it writes into `folder`. `method` and `more` are YAML; the student is a ConvNet unless given.
inline std::filesystem::path write_tiny_job(
    const std::filesystem::path& folder, const std::string& method, const std::string& more = "",
    const std::string& student = "convnet(widths=8x8 depth=1 norm=group dropout=0.2)") {
  std::vector<std::uint8_t> pixels, labels;
  for (int i = 0; i < 64; ++i) {
    labels.push_back(static_cast<std::uint8_t>(i % 4));
    for (int p = 0; p < 64;
         ++p) {  // rows, columns, a chequerboard or nothing, over a fixed pattern: flips keep classes
      const int row = p / 8, column = p % 8;
      const int bright[4] = {row % 2, column % 2, (row + column) % 2, 0};
      pixels.push_back(static_cast<std::uint8_t>((i * 37 + p * 11) % 64 + 160 * bright[i % 4]));
    }
  }
  write_idx(folder / "images", {64, 8, 8}, pixels);
  write_idx(folder / "labels", {64}, labels);
  const std::string set = "{kind: idx, images: " + (folder / "images").string() +
                          ", labels: " + (folder / "labels").string() + ", classes: 4, normalize: {mean: .3, std: .3}}";
  const std::filesystem::path file = folder / "tiny.yaml";
  std::ofstream out(file);
  out << "job: {name: tiny, seed: 3, output_dir: " << (folder / "runs").string() << "}\n"
      << "data: {train: " << set << "}\n"
      << "sources: {data: {set: train, batch: 32, augment: [flip(p=0.5), crop(pad=1), cutout(size=3 p=0.5)]}}\n"
      << "models:\n  student: {arch: " << student << "}\n"
      << (method == "ce" || method.find("extends: ce") != std::string::npos
              ? ""
              : "  teacher: {arch: convnet(widths=16x16 depth=1 norm=group)}\n")
      << "method: " << method << "\n"
      << "optim: {student: {sgd: {lr: .1, momentum: .9, nesterov: true}}}\n"
      << "run: {steps: 12, log_every: 4}\n"
      << "eval: {set: train, batch: 20, roles: {student: student}}\n"
      << more;
  return file;
}

inline Job tiny_job(const std::filesystem::path& file, const std::vector<std::string>& overrides = {},
                    Device device = kCpu) {
  return build_job(read_job(file, overrides), file, device);
}

}  // namespace retort::testing
