// distill/train/report.cpp -- the report's page: numbers, charts, samples, fold-out tables.
#include "distill/train/report.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>
#include <span>

#include "distill/train/report_chart.h"
#include "distill/train/report_style.h"
#include "io/file.h"
#include "tensor/error.h"

namespace retort {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t kMainNumbers = 4, kFirstSamples = 8;

std::string base64(std::span<const std::uint8_t> bytes) {
  static constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t count = std::min<std::size_t>(3, bytes.size() - i);
    std::uint32_t group = 0;
    for (std::size_t k = 0; k < 3; ++k) group = group << 8 | (k < count ? bytes[i + k] : 0u);
    for (std::size_t k = 0; k < 4; ++k) out += k <= count ? alphabet[group >> (18 - 6 * k) & 63] : '=';
  }
  return out;
}

std::string numbers_html(std::span<const ReportNumber> numbers, const char* style) {
  if (numbers.empty()) return "";
  std::string out = fmt::format("<section class=\"numbers{}\">", style);
  for (const ReportNumber& n : numbers) {
    out += fmt::format(
        "<div class=\"card number\"><div class=\"label\">{}</div><div class=\"value\">{}<span "
        "class=\"{}\">{}</span></div>"
        "<div class=\"note\">{}</div></div>\n",
        escape_html(n.label), escape_html(n.value), n.unit.size() <= 2 ? "short" : "", escape_html(n.unit),
        escape_html(n.note));
  }
  return out + "</section>\n";
}

std::string answer_html(const ReportAnswer& answer, const std::string& truth, const char* role) {
  const char* verdict = truth.empty() ? "" : answer.label == truth ? "right" : "wrong";
  const double percent = 100 * std::clamp(std::isnan(answer.probability) ? 0. : answer.probability, 0., 1.);
  return fmt::format(
      "<td class=\"answer {}\"><div><span class=\"{}\">{}</span><small>{:.0f}%</small></div>"
      "<span class=\"bar\"><i style=\"width:{:.1f}%\"></i></span></td>",
      role, verdict, escape_html(answer.label), percent, percent);
}

std::string samples_html(std::span<const ReportSample> samples) {
  std::string out =
      "<table class=\"samples\"><thead><tr><th>Sample</th><th>Truth</th><th>Teacher</th><th>Student</th></tr></thead>"
      "<tbody>\n";
  for (const ReportSample& sample : samples) {
    out += "<tr><td>";
    if (!sample.png.empty()) out += "<img alt=\"sample\" src=\"data:image/png;base64," + base64(sample.png) + "\">";
    out += escape_html(sample.text) + "</td><td>" + escape_html(sample.truth) + "</td>";
    out += answer_html(sample.teacher, sample.truth, "teacher") + answer_html(sample.student, sample.truth, "student");
    out += "</tr>\n";
  }
  return out + "</tbody></table>";
}

// Curve beside samples, so that both are on the first screen.
std::string top_html(const ReportCurve& curve, const std::map<std::string, MetricSeries>& metrics,
                     std::span<const ReportSample> samples) {
  std::string out =
      fmt::format("<section class=\"top{}\">", samples.empty() ? " single" : "") + chart_html(curve, metrics);
  if (!samples.empty()) out += "<div class=\"card\">" + samples_html(samples) + "</div>";
  return out + "</section>\n";
}

std::string table_html(const ReportTable& table) {
  std::string out = fmt::format("<details class=\"card\"{}><summary>", table.open ? " open" : "") +
                    escape_html(table.title) + "</summary>";
  if (!table.rows.empty()) {
    out += "<table class=\"table\">";
    for (const auto& [name, value] : table.rows) {
      out += "<tr><th>" + escape_html(name) + "</th><td>" + escape_html(value) + "</td></tr>";
    }
    out += "</table>";
  }
  if (!table.text.empty()) out += "<pre>" + escape_html(table.text) + "</pre>";
  return out + "</details>\n";
}

std::vector<std::pair<std::string, std::string>> json_rows(const std::string& text) {
  std::vector<std::pair<std::string, std::string>> rows;
  const auto object = nlohmann::ordered_json::parse(text, nullptr, false);
  if (!object.is_object()) return {{"environment.json", text}};
  for (const auto& [name, value] : object.items()) {
    rows.emplace_back(name, value.is_string() ? value.get<std::string>() : value.dump());
  }
  return rows;
}

std::string chart_title(const std::string& group) {
  static const std::map<std::string, std::string> titles = {{"loss", "Loss"},
                                                            {"acc", "Accuracy"},
                                                            {"grad_norm", "Gradient norm"},
                                                            {"lr", "Learning rate"},
                                                            {"frechet", "Frechet distance"},
                                                            {"kl", "KL divergence in nats"},
                                                            {"entropy", "Entropy in nats"},
                                                            {"ppl", "Perplexity"},
                                                            {"mem", "Memory in bytes"},
                                                            {"step_ms", "Step time in ms"},
                                                            {"data_ms", "Time waiting for data in ms"},
                                                            {"teacher_ms", "Teacher time in ms"},
                                                            {"samples_per_s", "Samples per second"},
                                                            {"tokens_per_s", "Tokens per second"}};
  const auto hit = titles.find(group);
  return hit == titles.end() ? group : hit->second;
}

bool all_positive(const MetricSeries& series) {
  return std::all_of(series.values.begin(), series.values.end(), [](double v) { return !(v <= 0); });
}

}  // namespace

std::vector<ReportCurve> default_curves(const std::map<std::string, MetricSeries>& metrics) {
  static const std::set<std::string> logarithmic = {"loss", "kl", "grad_norm"};
  std::map<std::string, ReportCurve> groups;
  for (const auto& [name, series] : metrics) {
    const std::string group = name.substr(0, name.find('/'));
    ReportCurve& curve =
        groups.try_emplace(group, ReportCurve{chart_title(group), {}, logarithmic.count(group) > 0, 0}).first->second;
    curve.metrics.insert(name == "loss/total" ? curve.metrics.begin() : curve.metrics.end(), name);
    curve.log_scale = curve.log_scale && all_positive(series);
    // A schedule has no noise, and a moving average would show it late.
    if (group != "lr" && series.values.size() >= 200) curve.smoothing = .9;
  }
  std::vector<ReportCurve> out;
  for (const char* first : {"loss", "acc"}) {
    if (auto group = groups.extract(first)) out.push_back(std::move(group.mapped()));
  }
  for (auto& entry : groups) out.push_back(std::move(entry.second));
  return out;
}

std::string report_html(const ReportData& data, const std::map<std::string, MetricSeries>& metrics) {
  const std::vector<ReportCurve> curves = data.curves.empty() ? default_curves(metrics) : data.curves;
  const std::span numbers(data.numbers);
  const std::span samples(data.samples);
  const std::size_t main_numbers = std::min(numbers.size(), kMainNumbers);
  const std::size_t first_samples = std::min(samples.size(), kFirstSamples);

  std::string out =
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>";
  out += escape_html(data.title) + "</title><style>" + std::string(kReportStyle) + "</style></head><body><main>\n";
  out += "<header><h1>" + escape_html(data.title) + "</h1><p>" + escape_html(data.subtitle) + "</p></header>\n";
  out += numbers_html(numbers.first(main_numbers), "");
  out += top_html(curves.empty() ? ReportCurve{"Training", {}, false, 0} : curves.front(), metrics,
                  samples.first(first_samples));
  if (curves.size() > 1) {
    out += "<section class=\"charts\">";
    for (const ReportCurve& curve : std::span(curves).subspan(1)) out += chart_html(curve, metrics) + "\n";
    out += "</section>\n";
  }
  if (numbers.size() > main_numbers) out += numbers_html(numbers.subspan(main_numbers), " more");
  if (samples.size() > first_samples) {
    out += fmt::format("<details class=\"card\"><summary>{} more samples</summary>", samples.size() - first_samples);
    out += samples_html(samples.subspan(first_samples)) + "</details>\n";
  }
  for (const ReportPicture& picture : data.pictures)
    out += "<figure class=\"card\"><figcaption>" + escape_html(picture.title) +
           "</figcaption><img style=\"max-width:100%\" alt=\"" + escape_html(picture.title) +
           "\" src=\"data:image/png;base64," + base64(picture.png) + "\"></figure>\n";
  for (const ReportTable& table : data.tables) out += table_html(table);
  return out + "</main><script>" + std::string(kReportScript) + "</script></body></html>\n";
}

void write_report(const fs::path& run, const ReportData& data) {
  ReportData page = data;
  const auto add = [&](const char* file, const char* title) {
    std::error_code error;
    if (fs::exists(run / file, error)) page.tables.push_back({title, {}, read_file(run / file)});
  };
  add("plan.txt", "Memory plan");
  add("resolved.yaml", "Resolved job");
  add("command.txt", "Command");
  std::error_code error;
  if (fs::exists(run / "environment.json", error)) {
    page.tables.push_back({"Environment", json_rows(read_file(run / "environment.json")), ""});
  }
  write_file_atomic(run / "report.html", report_html(page, read_metrics(run)));
}

}  // namespace retort
