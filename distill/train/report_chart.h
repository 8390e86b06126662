// distill/train/report_chart.h -- one chart of a report: scales, ticks, smoothing, SVG.
#pragma once
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "distill/train/report.h"

namespace retort {

/// `text` with the five characters that HTML gives a meaning replaced by entities.
std::string escape_html(std::string_view text);

/// Round positions (1, 2 or 5 times a power of ten) inside [low, high], about `count` of them, at least two when
/// low < high.
std::vector<double> linear_ticks(double low, double high, int count);
/// Powers of ten inside [low, high], low > 0, thinned to at most about six; 1-2-5 steps when fewer than two fit.
std::vector<double> log_ticks(double low, double high);

/// Moving average with weight `past` in [0, 1) on what came before, divided by the weight seen so far, so that the
/// first value is the first input. Values that are not finite are passed over and stay as they are.
std::vector<double> smooth(std::span<const double> values, double past);

/// A <figure> with the chart; a note instead of lines when none of the metrics has a value to draw.
std::string chart_html(const ReportCurve& curve, const std::map<std::string, MetricSeries>& metrics);

}  // namespace retort
