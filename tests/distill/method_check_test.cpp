// tests/distill/method_check_test.cpp -- the golden values in the presets' `checks`, and that a wrong one is noticed.
// The values come from tests/distill/golden_methods.py, which knows the papers' formulas and no tensors.
#include "distill/train/method_check.h"

#include <doctest/doctest.h>

#include "distill/train/job.h"
#include "tensor/error.h"
#include "tests/distill/child.h"
#include "tests/io/test_files.h"

using namespace retort;

TEST_CASE("methods: golden values hold, and every mutant misses them") {
  for (const auto& preset : method_presets()) {
    const std::string& slug = preset.first;
    CAPTURE(slug);
    const auto results = check_method(slug);
    int mutants = 0;
    for (const CheckResult& r : results) {
      CAPTURE(r.what);
      CAPTURE(r.expected);
      CAPTURE(r.got);
      CHECK(r.passed);
      mutants += r.what.starts_with("must miss");
    }
    CHECK(mutants >= 2);
    CHECK(results.size() >= 4);
  }
}

TEST_CASE("methods: a preset that differs from its golden values fails its checks") {
  const auto failures = [](const std::string& text) {
    std::vector<std::string> failed;
    for (const CheckResult& r : check_preset(text, "mutant"))
      if (!r.passed) failed.push_back(r.what);
    return failed;
  };
  CHECK(failures("extends: kd").empty());
  CHECK(failures("{extends: kd, terms: {kd: {d: kl(reverse)}}}") == std::vector<std::string>{"kd", "total"});
  CHECK(failures("{extends: kd, terms: {kd: {T2: false}}, checks: [{given: {student: [[1, 2]], teacher: [[2, 1]], "
                 "label: [0]}, terms: {}, total: 9, mutants: [numbers.b=.9]}]}") == std::vector<std::string>{"total"});
  CHECK(failures("{extends: dist, numbers: {gamma: 2}}") == std::vector<std::string>{"total"});
  CHECK_THROWS_WITH_AS(failures("{extends: kd, checks: []}"), doctest::Contains("no checks"), ConfigError);
  CHECK_THROWS_WITH_AS(failures("{extends: ce, checks: [{given: {student: [[1, 2]], label: [0]}, total: 1.0, "
                                "mutants: []}]}"),
                       doctest::Contains("mutant"), ConfigError);
  CHECK_THROWS_WITH_AS(failures("{extends: ce, checks: [{given: {studnt: [[1, 2]], label: [0]}, total: 1.0, mutants: "
                                "[a=1]}]}"),
                       doctest::Contains("studnt"), ConfigError);
  CHECK_THROWS_AS(check_method("kdd"), ConfigError);
}

TEST_CASE("methods: `retort methods NAME --check` prints the values and ends with 0") {
  const test::TemporaryFolder folder;
  const auto log = std::filesystem::path(folder.path()) / "output";
  const testing::Ended e = testing::Child({"methods", "dkd", "--check"}, log).wait();
  INFO(e.output);
  CHECK(e.exit_code == 0);
  CHECK(e.output.find("3.5496156") != std::string::npos);
  CHECK(testing::Child({"methods", "--check"}, log).wait().exit_code == 0);
}

TEST_CASE("methods: presets and the catalogue agree on rows; presets name their source") {
  CHECK(method_catalogue().size() > 300);
  for (const auto& preset : method_presets()) {
    const std::string& slug = preset.first;
    CAPTURE(slug);
    Config c = Config::parse(preset.second, slug);
    c.resolve_extends([](const std::string& base) { return Config::parse(method_presets().at(base), base); });
    CHECK(c.get<std::string>("method") == slug);
    for (const char* key : {"title", "formula", "source"}) CHECK(c.has(key));
    const auto known = method_catalogue().find(slug);
    const std::string row = c.has("row") ? c.get<std::string>("row") : "-";
    if (known != method_catalogue().end()) CHECK(row == known->second.row);
  }
}
