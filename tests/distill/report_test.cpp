// tests/distill/report_test.cpp -- the report page: self-contained, escaped, honest about gaps and spikes.
#include "distill/train/report.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <random>

#include "distill/train/report_chart.h"
#include "tests/io/test_files.h"

using namespace retort;
using retort::test::TemporaryFolder;

namespace {

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t n = 0;
  for (std::size_t at = text.find(part); at != text.npos; at = text.find(part, at + 1)) ++n;
  return n;
}
bool contains(const std::string& text, const std::string& part) { return count(text, part) > 0; }

MetricSeries series(const std::vector<double>& values) {
  MetricSeries out;
  for (const double value : values) {
    out.steps.push_back(static_cast<std::int64_t>(out.steps.size()) + 1);
    out.values.push_back(value);
  }
  return out;
}

/// The d attribute of the first drawn line of a chart.
std::string first_line(const std::string& html) {
  const std::size_t start = html.find(" d=\"", html.find("class=\"line")) + 4;
  return html.substr(start, html.find('"', start) - start);
}

}  // namespace

TEST_CASE("report: the page fetches nothing and shows numbers, samples and the run's own files") {
  const TemporaryFolder temporary;
  const std::filesystem::path run = std::filesystem::path(temporary.path()) / "r";
  auto folder =
      RunFolder::create(run, {"a: 1\n", "lr: 0.125\n", "retort run x", "{\"cpu\": \"abacus\", \"cores\": 2}"});
  for (int step = 1; step <= 5; ++step) folder.write_metrics(step, {{"loss/total", 1. / step}});
  ReportData data;
  data.title = "digits";
  data.numbers = {
      {"accuracy", "98.4", "%", "teacher 99.2"}, {"b", "2", "", ""}, {"c", "3", "", ""}, {"d", "4", "", ""}};
  data.samples.assign(9, {{'M', 'a', 'n', 'y'}, "", "7", {"7", .5}, {"1", 1.5}});
  write_report(run, data);
  const std::string page = read_file(run / "report.html");
  for (const char* external : {"http:", "https:", "//cdn", "<link", "@import", "url(", "<script src", "<iframe"}) {
    CHECK(!contains(page, external));
  }
  CHECK(count(page, "src=") == count(page, "src=\"data:image/png;base64,TWFueQ==\""));
  CHECK(count(page, "TWFueQ==") == 9);
  CHECK(contains(page, "98.4<span"));
  CHECK(count(page, "class=\"right\">7<") == 9);
  CHECK(count(page, "class=\"wrong\">1<") == 9);
  CHECK(contains(page, "width:50.0%"));
  CHECK(contains(page, "width:100.0%"));
  CHECK(contains(page, "1 more samples"));
  CHECK(contains(page, "lr: 0.125"));
  CHECK(contains(page, "<th>cpu</th><td>abacus</td>"));
  CHECK(contains(page, "<h2>Loss</h2>"));
  CHECK(contains(page, "prefers-color-scheme: dark"));
}

TEST_CASE("report: every text from outside is escaped") {
  const std::string evil = "</script><b onload='x'>\"&";
  ReportData data;
  data.title = data.subtitle = evil;
  data.numbers = {{evil, evil, evil, evil}};
  data.samples = {{{}, evil, evil, {evil, 0}, {evil, 0}}};
  data.tables = {{evil, {{evil, evil}}, evil}};
  data.curves = {{evil, {evil}, false, 0}};
  const std::string page = report_html(data, {{evil, series({1, 2})}});
  CHECK(!contains(page, "<b onload"));
  CHECK(count(page, "</script>") == 2);
  CHECK(escape_html("<&>\"'") == "&lt;&amp;&gt;&quot;&#39;");
}

TEST_CASE("report: without metrics the page says so") {
  CHECK(contains(report_html({}, {}), "No values recorded yet."));
  CHECK(contains(chart_html({"x", {"a"}, true, 0}, {{"a", series({0, -1})}}), "No values recorded yet."));
}

TEST_CASE("report: values that cannot be drawn are gaps, not zeros") {
  const double nan = std::nan(""), inf = std::numeric_limits<double>::infinity();
  CHECK(count(first_line(chart_html({"x", {"a"}, false, 0}, {{"a", series({1, 2, nan, 3, 4, inf, 5})}})), "M") == 3);
  CHECK(count(first_line(chart_html({"x", {"a"}, true, 0}, {{"a", series({1, 2, 0, 3})}})), "M") == 2);
  const std::string one = chart_html({"x", {"a"}, false, 0}, {{"a", series({7})}});
  CHECK(first_line(one) == "M500.0 200.0h0");
  CHECK(contains(one, "class=\"line dot c0\""));
  CHECK(contains(one, "step <b>1</b>"));
  CHECK(!contains(chart_html({"x", {"a"}, false, 0}, {{"a", series({7, 8})}}), "dot c0"));
  const std::string huge = chart_html({"x", {"a"}, false, 0}, {{"a", series({1e15, 1e15 + .125, 1e308, -1e308})}});
  CHECK(!contains(huge, "nan"));
}

TEST_CASE("report: a spike survives the thinning of a long series") {
  std::vector<double> values(100000, 1.);
  values[54321] = 100;
  const std::string line = first_line(chart_html({"x", {"a"}, false, 0}, {{"a", series(values)}}));
  CHECK(count(line, "L") < 900);
  // The top of the chart less its 5 % margin: 400 * (1 - 1.05 / 1.1).
  CHECK(count(line, " 18.2") == 1);
}

TEST_CASE("report: smoothing is a debiased moving average that passes over gaps") {
  const std::vector<double> values = {4, 2, std::nan(""), 8};
  const auto out = smooth(values, .5);
  CHECK(out[0] == doctest::Approx(4));
  CHECK(out[1] == doctest::Approx((.5 * 4 + 1 * 2) / 1.5));
  CHECK(std::isnan(out[2]));
  CHECK(out[3] == doctest::Approx((.25 * 4 + .5 * 2 + 1 * 8) / 1.75));
  CHECK(smooth(values, 0)[3] == 8);
}

TEST_CASE("report: ticks are round, inside the range and two to a dozen in number") {
  std::mt19937 random(5);
  std::uniform_real_distribution<double> exponent(-12, 12), unit(-1, 1);
  for (int i = 0; i < 2000; ++i) {
    const double low = unit(random) * std::pow(10, exponent(random));
    const double high = low + std::abs(low) * 1e-6 + std::pow(10, exponent(random));
    const auto ticks = linear_ticks(low, high, 5);
    CAPTURE(low);
    CAPTURE(high);
    REQUIRE(ticks.size() >= 2);
    REQUIRE(ticks.size() <= 12);
    REQUIRE(ticks.front() >= low);
    REQUIRE(ticks.back() <= high);
    const double a = std::pow(10, exponent(random)), b = a * (1.01 + std::pow(10, exponent(random)));
    const auto decades = log_ticks(a, b);
    REQUIRE(decades.size() >= 2);
    REQUIRE(decades.size() <= 12);
    REQUIRE(decades.front() >= a);
    REQUIRE(decades.back() <= b);
  }
  CHECK(linear_ticks(0, 10, 5) == std::vector<double>{0, 2, 4, 6, 8, 10});
  CHECK(log_ticks(.5, 200).size() == 3);
}

TEST_CASE("report: metrics without a layout are grouped by name, losses first and on a log scale") {
  const std::map<std::string, MetricSeries> metrics = {{"acc/top1", series({.5})},
                                                       {"loss/ce", series({1, 2})},
                                                       {"loss/total", series({3})},
                                                       {"kl/forward", series({0, 1})},
                                                       {"step_ms", series({5})}};
  const auto curves = default_curves(metrics);
  REQUIRE(curves.size() == 4);
  CHECK(curves[0].metrics == std::vector<std::string>{"loss/total", "loss/ce"});
  CHECK(curves[0].log_scale);
  CHECK(curves[1].metrics == std::vector<std::string>{"acc/top1"});
  CHECK(curves[2].metrics == std::vector<std::string>{"kl/forward"});
  CHECK(!curves[2].log_scale);
  CHECK(curves[3].title == "Step time in ms");
}
