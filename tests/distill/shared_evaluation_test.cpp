// tests/distill/shared_evaluation_test.cpp -- ranks that evaluate together come to the bits of one process.
#include <doctest/doctest.h>

#include <atomic>

#include "distill/train/ranks.h"
#include "tests/distill/tiny_job.h"
#include "tests/tensor/comm_world.h"

using namespace retort;
using namespace retort::testing;

namespace {
/// By rank.
template <class T>
std::vector<T> on_each(int world, const std::function<T(Communicator&)>& work) {
  std::vector<T> results(static_cast<std::size_t>(world));
  const auto errors =
      in_world(Over::threads, world, [&](Communicator& c) { results[static_cast<std::size_t>(c.rank())] = work(c); });
  CHECK(errors == std::vector<std::string>(static_cast<std::size_t>(world)));
  return results;
}

std::vector<double> numbers_of(const Evaluation& e) {
  std::vector<double> numbers{static_cast<double>(e.samples)};
  for (const auto& [name, value] : metrics_of("student", e)) numbers.push_back(value);
  return numbers;
}

std::vector<std::string> shown_in(const Evaluation& e) {
  std::vector<std::string> shown;
  for (const Continuation& c : e.text->shown) shown.push_back(c.prompt + "|" + c.text);
  return shown;
}
}  // namespace

TEST_CASE("in turn: every item is worked out once, and taken in order by all") {
  using Taken = std::vector<std::vector<double>>;
  for (const int world : {1, 2, 3})
    for (const std::int64_t count : {0, 1, 4, 7}) {
      CAPTURE(world);
      CAPTURE(count);
      std::vector<std::atomic<int>> made(static_cast<std::size_t>(count));
      Taken expected;
      for (std::int64_t i = 0; i < count; ++i) expected.emplace_back(static_cast<std::size_t>(i % 3), 10.0 * i + .1);
      const auto taken = on_each<Taken>(world, [&](Communicator& c) {
        Taken all;
        in_turn(
            &c, count,
            [&](std::int64_t i) {
              ++made[static_cast<std::size_t>(i)];
              return expected[static_cast<std::size_t>(i)];
            },
            [&](std::int64_t i, std::span<const double> numbers) {
              if (i != static_cast<std::int64_t>(all.size())) throw std::runtime_error("not in order");
              all.emplace_back(numbers.begin(), numbers.end());
            });
        return all;
      });
      for (const Taken& of_rank : taken) CHECK(of_rank == expected);
      for (const auto& times : made) CHECK(times == 1);
    }
}

TEST_CASE("evaluate: ranks share the batches of images") {
  const test::TemporaryFolder folder;
  const auto file = write_tiny_job(folder.path(), "kd");
  const auto built = [&] { return tiny_job(file, {"eval.batch=10"}); };
  const auto one = numbers_of(evaluate_role(built(), "student"));
  CHECK(one[0] == 64);
  for (const int world : {2, 3})
    for (const auto& of_rank : on_each<std::vector<double>>(world, [&](Communicator& c) {
           const Job job = built();
           return numbers_of(evaluate_role(job, "student", &c));
         }))
      CHECK(of_rank == one);
}

TEST_CASE("evaluate: ranks share the batches of texts, and rank 0 shows what was written") {
  const auto built = [] {
    const OpenedJob opened =
        open_job("gkd", {"job.task=tiny_text",
                         "eval={set: texts, batch: 6, roles: {student: student}, teacher: teacher, "
                         "prompts: {set: texts, count: 20, max_tokens: 8, show: 9}}"});
    return build_job(opened.config, opened.file, kCpu);
  };
  const Evaluation alone = evaluate_role(built(), "student");
  REQUIRE(alone.text->shown.size() == 9);
  const auto several = on_each<Evaluation>(3, [&](Communicator& c) {
    const Job job = built();
    return evaluate_role(job, "student", &c);
  });
  for (const Evaluation& of_rank : several) CHECK(numbers_of(of_rank) == numbers_of(alone));
  CHECK(shown_in(several[0]) == shown_in(alone));
}
