// bench/main.cpp -- the benchmark program: Google Benchmark over all rows, or a server that another process asks for
// timings, so that two implementations can take turns on a noisy machine (bench/compare.py).
#include <benchmark/benchmark.h>
#include <omp.h>

#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iostream>
#include <sstream>

#include "bench/case.h"
#include "tensor/error.h"

namespace retort::bench {

std::map<std::string, Prepare>& cases() {
  static std::map<std::string, Prepare> all;
  return all;
}

namespace {
/// Of the whole process, in bytes: "VmRSS" now, "VmHWM" at most since the counter was reset.
std::int64_t memory_of_process(const std::string& field) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.rfind(field + ":", 0) == 0) return std::stoll(line.substr(field.size() + 1)) * 1024;
  return 0;
}

double seconds(const Step& step, long iterations, double& result) {
  const auto begin = std::chrono::steady_clock::now();
  for (long i = 0; i < iterations; ++i) result = step();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

/// Commands on standard input, one line each, one line of answer:
///   list                      names, separated by spaces
///   threads                   how many threads kernels use
///   prepare ROW               sets the row up and runs it once
///   run N                     seconds for N iterations, and the last result
///   memory ROW N              bytes of the process at most during set-up and N iterations, above those before
int serve() {
  Step step;
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    std::string command, name;
    long n = 0;
    words >> command;
    try {
      if (command == "list") {
        for (const auto& [row, prepare] : cases()) std::printf("%s ", row.c_str());
        std::printf("\n");
      } else if (command == "threads") {
        std::printf("%d\n", omp_get_max_threads());
      } else if (command == "prepare") {
        words >> name;
        step = nullptr;
        step = cases().at(name)();
        std::printf("ok %g\n", step());
      } else if (command == "run") {
        words >> n;
        double result = 0;
        const double t = seconds(step, n, result);
        std::printf("%.9g %.9g\n", t, result);
      } else if (command == "memory") {
        words >> name >> n;
        const std::int64_t before = memory_of_process("VmRSS");
        std::ofstream("/proc/self/clear_refs") << "5";
        double result = 0;
        seconds(cases().at(name)(), n, result);
        std::printf("%lld %.9g\n", static_cast<long long>(memory_of_process("VmHWM") - before), result);
      } else {
        std::printf("error: unknown command %s\n", command.c_str());
      }
    } catch (const std::exception& e) {
      std::printf("error: %s\n", e.what());
    }
    std::fflush(stdout);
  }
  return 0;
}
}  // namespace

}  // namespace retort::bench

int main(int argc, char** argv) {
  using namespace retort::bench;
  if (argc == 2 && std::strcmp(argv[1], "--serve") == 0) return serve();
  for (const auto& [name, prepare] : cases())
    benchmark::RegisterBenchmark(name.c_str(), [&prepare = prepare](benchmark::State& state) {
      const Step step = prepare();
      step();
      for (auto _ : state) benchmark::DoNotOptimize(step());
    })->UseRealTime();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
