// distill/train/report.h -- report.html: one file a person can open anywhere and judge a run by.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "distill/train/run_folder.h"

namespace retort {

/// A headline number, already formatted: {"top-1 accuracy", "98.9", "%", "teacher 99.2 %"}.
struct ReportNumber {
  std::string label, value, unit, note;
};

/// One chart: a line for each metric name found in metrics.jsonl. With a log scale, values at or below zero are gaps,
/// as NaN and infinities always are. `smoothing` in [0, 1) is the weight of the past in a debiased moving average; the
/// raw values stay visible, pale.
struct ReportCurve {
  std::string title;
  std::vector<std::string> metrics;
  bool log_scale = false;
  double smoothing = 0;
};

struct ReportAnswer {
  std::string label;
  double probability = 0;  ///< in [0, 1]
};
/// A sample: a thumbnail (an encoded PNG), or a text, or both; the truth (empty when there is none) and two answers.
struct ReportSample {
  std::vector<std::uint8_t> png;
  std::string text, truth;
  ReportAnswer teacher, student;
};

/// A fold-out section: rows of name and value, or preformatted text.
struct ReportTable {
  std::string title;
  std::vector<std::pair<std::string, std::string>> rows;
  std::string text;
  bool open = false;
};

/// A picture (an encoded PNG) under its title.
struct ReportPicture {
  std::string title;
  std::vector<std::uint8_t> png;
};

struct ReportData {
  std::string title, subtitle;
  std::vector<ReportNumber> numbers;  ///< the first three are the ones that matter
  std::vector<ReportCurve> curves;    ///< the first one is on the first screen; none: see default_curves()
  std::vector<ReportSample> samples;  ///< the first eight are on the first screen
  std::vector<ReportPicture> pictures;
  std::vector<ReportTable> tables;
};

/// One chart for each group of metrics: by the part of the name before '/', losses and accuracies first; losses, KL and
/// gradient norms on a log scale when all their values allow it.
std::vector<ReportCurve> default_curves(const std::map<std::string, MetricSeries>& metrics);

/// The page: styles, curves (inline SVG) and pictures (base64) inside, nothing fetched, light and dark.
std::string report_html(const ReportData& data, const std::map<std::string, MetricSeries>& metrics);

/// Writes RUN/report.html from metrics.jsonl and `data`, adding the run's own files (plan.txt, resolved.yaml,
/// environment.json, command.txt) as fold-out sections. Throws IoError.
void write_report(const std::filesystem::path& run, const ReportData& data);

}  // namespace retort
