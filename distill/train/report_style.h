// distill/train/report_style.h -- the style sheet and the small script inside every report.
#pragma once
#include <string_view>

namespace retort {

/// Styles for light and dark, wide and narrow windows, and paper. Colours of lines are told apart by the colour-blind.
extern const std::string_view kReportStyle;
/// Reads values out under the pointer; without scripts the page is complete, only this is missing.
extern const std::string_view kReportScript;

}  // namespace retort
