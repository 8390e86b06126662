#include "distill/text/sample_texts.h"

#include <algorithm>
#include <chrono>
#include <numeric>

#include "tensor/error.h"

namespace retort {

namespace {
using SteadyClock = std::chrono::steady_clock;

// A sample's index has 32 bits.
constexpr std::size_t kMostPrompts = 1 << 22;
constexpr std::int64_t kMostCopies = 1 << 10;

double seconds_since(SteadyClock::time_point start) {
  return std::chrono::duration<double>(SteadyClock::now() - start).count();
}

/// One continuation to be written.
struct Continuing {
  std::size_t prompt = 0, copy = 0;
  std::int64_t length = 0;  ///< of the prompt
  std::int64_t room = 0;    ///< tokens it may have
};

class TextSampler {
 public:
  TextSampler(const SavedLm& lm, const std::vector<TokenIds>& prompts, const SampleTextsSpec& spec)
      : lm_(lm), prompts_(prompts), spec_(spec) {}

  std::vector<SampledText> run() {
    results_.resize(prompts_.size() * static_cast<std::size_t>(spec_.copies));
    const std::vector<Continuing> tasks = plan();
    for (std::size_t first = 0; first < tasks.size();) {
      const std::size_t last = batch_end(tasks, first);
      write(std::span(tasks).subspan(first, last - first));
      first = last;
    }
    return std::move(results_);
  }
  const SampleCost& cost() const { return cost_; }

 private:
  /// Prompts of like length stand together: padding is work for nothing.
  std::vector<Continuing> plan() const {
    if (prompts_.size() > kMostPrompts || spec_.copies > kMostCopies)
      throw ValueError("sample: at most {} prompts and {} continuations of each; got {} and {}", kMostPrompts,
                       kMostCopies, prompts_.size(), spec_.copies);
    std::vector<Continuing> tasks;
    for (std::size_t p = 0; p < prompts_.size(); ++p) {
      const auto length = static_cast<std::int64_t>(prompts_[p].size());
      if (length == 0) throw ValueError("sample: prompt {} has no token to continue from", p + 1);
      if (length > lm_.context())
        throw ValueError("sample: prompt {} has {} tokens, and the model reads at most {}", p + 1, length,
                         lm_.context());
      // The last token is written and not read.
      const std::int64_t room = std::min(spec_.max_tokens, lm_.context() - length + 1);
      for (std::size_t c = 0; c < static_cast<std::size_t>(spec_.copies); ++c) tasks.push_back({p, c, length, room});
    }
    std::stable_sort(tasks.begin(), tasks.end(),
                     [](const Continuing& a, const Continuing& b) { return a.length < b.length; });
    return tasks;
  }

  /// Rows are padded to the longest prompt: with that, too, all of them must fit into what the model reads.
  std::size_t batch_end(const std::vector<Continuing>& tasks, std::size_t first) const {
    std::size_t end = first;
    for (std::int64_t room = 0; end < tasks.size() && end - first < static_cast<std::size_t>(spec_.batch); ++end) {
      room = std::max(room, tasks[end].room);
      if (tasks[end].length + room - 1 > lm_.context()) return std::max(end, first + 1);
    }
    return end;
  }

  void write(std::span<const Continuing> tasks) {
    std::vector<TokenIds> rows;
    std::vector<std::int64_t> samples;
    std::vector<TextStream> streams;
    GenerateSpec how{.sampling = spec_.sampling};
    for (const Continuing& t : tasks) {
      rows.push_back(prompts_[t.prompt]);
      samples.push_back(static_cast<std::int64_t>(t.copy * kMostPrompts + t.prompt));
      streams.emplace_back(lm_.codec, rows.back(), spec_.stops);
      how.max_tokens = std::max(how.max_tokens, t.room);
      cost_.prompt_tokens += t.length;
    }
    const auto start = SteadyClock::now();
    double first_token = -1;
    how.watch = [&](std::size_t row, std::int64_t token) {
      if (first_token < 0) first_token = seconds_since(start);
      ++cost_.tokens;
      return take(tasks[row], streams[row], token);
    };
    generate(
        lm_.decoder(), rows, tasks.back().length, how, Rng(spec_.seed).stream("sample"), samples,
        [&] { return lm_.call(); }, lm_.role->compute);
    for (std::size_t i = 0; i < tasks.size(); ++i) show(tasks[i], streams[i].finish());
    cost_.prompt_seconds += first_token;
    cost_.seconds += seconds_since(start) - first_token;
  }

  /// Whether the continuation ends with this token.
  bool take(const Continuing& task, TextStream& stream, std::int64_t token) {
    SampledText& result = result_of(task);
    result.tokens.push_back(token);
    if (std::find(lm_.ends.begin(), lm_.ends.end(), token) != lm_.ends.end()) {
      result.end = TextEnd::mark;
      return true;
    }
    show(task, stream.push(token));
    if (stream.stopped()) result.end = TextEnd::stop;
    return stream.stopped() || static_cast<std::int64_t>(result.tokens.size()) == task.room;
  }

  void show(const Continuing& task, const std::string& text) {
    result_of(task).text += text;
    if (spec_.show && task.prompt == 0 && task.copy == 0 && !text.empty()) spec_.show(text);
  }

  SampledText& result_of(const Continuing& t) {
    return results_[t.prompt * static_cast<std::size_t>(spec_.copies) + t.copy];
  }

  const SavedLm& lm_;
  const std::vector<TokenIds>& prompts_;
  const SampleTextsSpec& spec_;
  std::vector<SampledText> results_;
  SampleCost cost_;
};
}  // namespace

std::vector<SampledText> sample_texts(const SavedLm& lm, const std::vector<TokenIds>& prompts,
                                      const SampleTextsSpec& spec, SampleCost* cost) {
  TextSampler sampler(lm, prompts, spec);
  std::vector<SampledText> texts = sampler.run();
  if (cost != nullptr) *cost = sampler.cost();
  return texts;
}

}  // namespace retort
