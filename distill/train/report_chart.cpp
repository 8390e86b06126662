// distill/train/report_chart.cpp -- charts as stretched SVG under HTML labels, readable at any width.
#include "distill/train/report_chart.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>

#include "tensor/error.h"

namespace retort {
namespace {

constexpr double kWidth = 1000, kHeight = 400;  // the SVG's own units; the page stretches them
constexpr std::size_t kBuckets = 400;           // more points than this are thinned to each bucket's extremes
constexpr int kColours = 8;

// One axis: from data to a fraction of its length.
struct Scale {
  double low = 0, high = 1;
  bool log = false;
  double fraction(double value) const {
    if (log) return (std::log10(value) - std::log10(low)) / (std::log10(high) - std::log10(low));
    return (value - low) / (high - low);
  }
};

struct Line {
  std::string name;
  std::vector<double> steps, raw, smoothed;
};

// Values near the largest double would overflow the axis; they are gaps like the infinities they precede.
bool drawable(double value, bool log) { return std::abs(value) < 1e300 && (!log || value > 0); }

std::vector<Line> read_lines(const ReportCurve& curve, const std::map<std::string, MetricSeries>& metrics) {
  std::vector<Line> lines;
  for (const std::string& name : curve.metrics) {
    const auto hit = metrics.find(name);
    if (hit == metrics.end()) continue;
    const MetricSeries& series = hit->second;
    const bool any =
        std::any_of(series.values.begin(), series.values.end(), [&](double v) { return drawable(v, curve.log_scale); });
    if (!any) continue;
    lines.push_back({name, std::vector<double>(series.steps.begin(), series.steps.end()), series.values,
                     smooth(series.values, curve.smoothing)});
  }
  return lines;
}

Scale value_scale(const std::vector<Line>& lines, bool log) {
  double low = std::numeric_limits<double>::infinity(), high = -low;
  for (const Line& line : lines) {
    for (const double value : line.raw) {
      if (!drawable(value, log)) continue;
      low = std::min(low, value);
      high = std::max(high, value);
    }
  }
  if (log) {
    const double margin = std::pow(10., std::max(.04 * std::log10(high / low), .02));
    return {low / margin, high * margin, true};
  }
  const double flat = high == low ? std::max(std::abs(high) * .1, 1e-12) : 0;
  const double margin = .05 * (high - low) + flat;
  return {low - margin, high + margin, false};
}

Scale step_scale(const std::vector<Line>& lines) {
  double low = std::numeric_limits<double>::infinity(), high = -low;
  for (const Line& line : lines) {
    low = std::min(low, *std::min_element(line.steps.begin(), line.steps.end()));
    high = std::max(high, *std::max_element(line.steps.begin(), line.steps.end()));
  }
  if (high == low) return {low - 1, high + 1, false};
  return {low, high, false};
}

// The indices worth drawing: all, or each bucket's lowest and highest, so that spikes survive. Gaps stay gaps.
std::vector<std::size_t> thin(const std::vector<double>& values) {
  std::vector<std::size_t> out;
  if (values.size() <= 2 * kBuckets) {
    for (std::size_t i = 0; i < values.size(); ++i) out.push_back(i);
    return out;
  }
  for (std::size_t b = 0; b < kBuckets; ++b) {
    const std::size_t first = b * values.size() / kBuckets, last = (b + 1) * values.size() / kBuckets;
    std::size_t low = first, high = first;
    for (std::size_t i = first; i < last; ++i) {
      if (!(values[i] >= values[low])) low = i;
      if (!(values[i] <= values[high])) high = i;
    }
    out.push_back(std::min(low, high));
    if (low != high) out.push_back(std::max(low, high));
  }
  return out;
}

std::string path_data(const Line& line, const std::vector<double>& values, const Scale& x, const Scale& y) {
  std::string out;
  bool pen_down = false;
  for (const std::size_t i : thin(values)) {
    if (!drawable(values[i], y.log)) {
      pen_down = false;
      continue;
    }
    out += fmt::format("{}{:.1f} {:.1f}", pen_down ? "L" : "M", kWidth * x.fraction(line.steps[i]),
                       kHeight * (1 - y.fraction(values[i])));
    // A lone point between gaps is a line of no length: drawn as a dot thanks to round caps.
    if (!pen_down) out += "h0";
    pen_down = true;
  }
  return out;
}

std::string label_number(double value) {
  const double magnitude = std::abs(value);
  if (magnitude >= 1e9 || (magnitude > 0 && magnitude < 1e-3)) return fmt::format("{:.3g}", value);
  if (magnitude >= 1e6) return fmt::format("{:g}M", value / 1e6);
  if (magnitude >= 1e4) return fmt::format("{:g}k", value / 1e3);
  return fmt::format("{:.6g}", std::abs(value) < 1e-12 ? 0. : value);
}

std::string grid_svg(const Scale& scale, const std::vector<double>& ticks) {
  std::string out;
  for (const double tick : ticks) {
    const double at = kHeight * (1 - scale.fraction(tick));
    out += fmt::format("<path class=\"grid\" d=\"M0 {0:.1f}H{1}\"/>", at, kWidth);
  }
  return out;
}

std::string axis_html(const char* axis, const char* side, const Scale& scale, const std::vector<double>& ticks) {
  std::string out = fmt::format("<div class=\"axis {}\">", axis);
  for (const double tick : ticks) {
    out += fmt::format("<span style=\"{}:{:.2f}%\">{}</span>", side, 100 * scale.fraction(tick), label_number(tick));
  }
  return out + "</div>";
}

double last_finite(const std::vector<double>& values) {
  const auto hit = std::find_if(values.rbegin(), values.rend(), [](double v) { return std::isfinite(v); });
  return hit == values.rend() ? std::numeric_limits<double>::quiet_NaN() : *hit;
}

// The points that the pointer reads out; JSON cannot hold NaN, so gaps are null.
std::string readout_json(const std::vector<Line>& lines, const Scale& x) {
  nlohmann::ordered_json out;
  out["low"] = x.low;
  out["high"] = x.high;
  for (const Line& line : lines) {
    auto steps = nlohmann::json::array(), values = nlohmann::json::array();
    for (const std::size_t i : thin(line.smoothed)) {
      steps.push_back(static_cast<std::int64_t>(line.steps[i]));
      const bool finite = std::isfinite(line.smoothed[i]);
      values.push_back(finite ? nlohmann::json(fmt::format("{:.4g}", line.smoothed[i])) : nlohmann::json());
    }
    out["lines"].push_back({{"steps", steps}, {"values", values}});
  }
  return out.dump();
}

}  // namespace

std::string escape_html(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::vector<double> linear_ticks(double low, double high, int count) {
  const double rough = (high - low) / std::max(count, 1);
  const double power = std::pow(10., std::floor(std::log10(rough)));
  const double unit = rough / power;
  // Never coarser than asked for by more than the next round step, so that two ticks always fit.
  const double step = power * (unit < 1.5 ? 1 : unit < 3.5 ? 2 : unit < 7.5 ? 5 : 10);
  std::vector<double> out;
  const double first = std::ceil(low / step) * step;
  // Counted, since adding a step to a huge value may change nothing.
  for (int i = 0; i <= 2 * count + 2 && first + i * step <= high; ++i) out.push_back(first + i * step);
  return out;
}

std::vector<double> log_ticks(double low, double high) {
  const int first = static_cast<int>(std::ceil(std::log10(low))), last = static_cast<int>(std::floor(std::log10(high)));
  std::vector<double> out;
  if (last > first) {
    for (int e = first, stride = 1 + (last - first) / 6; e <= last; e += stride) out.push_back(std::pow(10., e));
    return out;
  }
  for (int e = first - 1; e <= last + 1; ++e) {
    for (const double digit : {1., 2., 5.}) {
      const double tick = digit * std::pow(10., e);
      const bool seen = !out.empty() && tick <= out.back();
      if (tick >= low && tick <= high && !seen) out.push_back(tick);
    }
  }
  return out.size() >= 2 ? out : linear_ticks(low, high, 4);
}

std::vector<double> smooth(std::span<const double> values, double past) {
  std::vector<double> out(values.begin(), values.end());
  double sum = 0, weight = 0;
  for (double& value : out) {
    if (!std::isfinite(value)) continue;
    sum = past * sum + (1 - past) * value;
    weight = past * weight + (1 - past);
    value = sum / weight;
  }
  return out;
}

std::string chart_html(const ReportCurve& curve, const std::map<std::string, MetricSeries>& metrics) {
  const std::vector<Line> lines = read_lines(curve, metrics);
  std::string notes = curve.log_scale ? "log scale" : "";
  if (curve.smoothing > 0) notes += fmt::format("{}smoothed {:g}", notes.empty() ? "" : ", ", curve.smoothing);
  std::string out = fmt::format("<figure class=\"card chart\"><figcaption><h2>{}</h2><small>{}</small></figcaption>",
                                escape_html(curve.title), notes);
  if (lines.empty()) return out + "<p class=\"empty\">No values recorded yet.</p></figure>";

  const Scale x = step_scale(lines), y = value_scale(lines, curve.log_scale);
  const auto y_ticks = y.log ? log_ticks(y.low, y.high) : linear_ticks(y.low, y.high, 5);
  std::string paths = grid_svg(y, y_ticks), legend;
  double last_step = 0;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const std::string colour = fmt::format("c{}", i % kColours);
    last_step = std::max(last_step, *std::max_element(lines[i].steps.begin(), lines[i].steps.end()));
    if (curve.smoothing > 0) {
      paths += fmt::format("<path class=\"line raw {}\" d=\"{}\"/>", colour, path_data(lines[i], lines[i].raw, x, y));
    }
    const auto& values = lines[i].smoothed;
    const auto points = std::count_if(values.begin(), values.end(), [&](double v) { return drawable(v, y.log); });
    paths += fmt::format("<path class=\"line {}{}\" d=\"{}\"/>", points == 1 ? "dot " : "", colour,
                         path_data(lines[i], values, x, y));
    legend += fmt::format("<li><i class=\"{}\"></i>{} <b>{:.4g}</b></li>", colour, escape_html(lines[i].name),
                          last_finite(lines[i].smoothed));
  }
  out += "<div class=\"plot\">" + axis_html("y", "bottom", y, y_ticks);
  out += fmt::format(
      "<div class=\"area\"><svg role=\"img\" aria-label=\"{} by step\" viewBox=\"0 0 {} {}\" "
      "preserveAspectRatio=\"none\">{}</svg><div class=\"cursor\"></div></div>",
      escape_html(curve.title), kWidth, kHeight, paths);
  out += axis_html("x", "left", x, linear_ticks(x.low, x.high, 5));
  out += fmt::format("</div><ul class=\"legend\"><li class=\"step\">step <b>{}</b></li>{}</ul>",
                     static_cast<std::int64_t>(last_step), legend);
  return out + "<script type=\"application/json\">" + readout_json(lines, x) + "</script></figure>";
}

}  // namespace retort
