// tests/tensor/comm_test.cpp -- collectives against their definitions, as threads and over TCP; order, and mismatches.
#include <doctest/doctest.h>

#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <thread>

#include "tensor/error.h"
#include "tests/tensor/comm_world.h"

using namespace retort;
using namespace retort::testing;

namespace {
void require(bool condition, const std::string& what) {
  if (!condition) throw std::runtime_error("failed: " + what);
}

/// What rank r holds at i: values whose sums round, and depend on the order.
template <class T>
T value(int r, std::int64_t i) {
  const double x = std::sin(static_cast<double>(17 * r + i)) * std::pow(10.0, (r + i) % 5);
  if constexpr (std::is_integral_v<T>)
    return static_cast<T>(std::llround(x));
  else
    return static_cast<T>(static_cast<float>(x) + (sizeof(T) == 8 ? x * 1e-9 : 0));
}

template <class T>
std::vector<T> share(int r, std::int64_t n) {
  std::vector<T> v;
  for (std::int64_t i = 0; i < n; ++i) v.push_back(value<T>(r, i));
  return v;
}

template <class T, class Sum>
T reduced(int world, std::int64_t i, Reduction how) {
  Sum sum = static_cast<Sum>(value<T>(0, i));
  for (int r = 1; r < world; ++r) {
    const Sum next = static_cast<Sum>(value<T>(r, i));
    sum = how == Reduction::sum ? sum + next : std::max(sum, next);
  }
  return static_cast<T>(sum);
}

template <class T>
bool same(T a, T b) {
  return std::memcmp(&a, &b, sizeof(T)) == 0;
}

template <class T, class Sum = T>
void check_reductions(Communicator& c, std::int64_t n) {
  for (const Reduction how : {Reduction::sum, Reduction::max}) {
    std::vector<T> data = share<T>(c.rank(), n);
    c.all_reduce(data, how, "all");
    for (std::int64_t i = 0; i < n; ++i)
      require(same(data[static_cast<std::size_t>(i)], reduced<T, Sum>(c.world(), i, how)), "all_reduce");
    const std::vector<T> whole = share<T>(c.rank(), n * c.world());
    std::vector<T> own(static_cast<std::size_t>(n));
    c.reduce_scatter(whole, own, how, "scatter");
    for (std::int64_t i = 0; i < n; ++i)
      require(same(own[static_cast<std::size_t>(i)], reduced<T, Sum>(c.world(), c.rank() * n + i, how)),
              "reduce_scatter");
  }
}

template <class T>
void check_copies(Communicator& c, std::int64_t n) {
  std::vector<T> all(static_cast<std::size_t>(n * c.world()));
  c.all_gather(share<T>(c.rank(), n), all, "gather");
  for (int r = 0; r < c.world(); ++r)
    for (std::int64_t i = 0; i < n; ++i)
      require(same(all[static_cast<std::size_t>(r * n + i)], value<T>(r, i)), "all_gather");
  for (int root = 0; root < c.world(); ++root) {
    std::vector<T> data = share<T>(c.rank(), n);
    c.broadcast(data, root, "broadcast");
    for (std::int64_t i = 0; i < n; ++i)
      require(same(data[static_cast<std::size_t>(i)], value<T>(root, i)), "broadcast");
  }
  if (c.world() < 2) return;
  // Around a ring: rank 0 begins, so nobody waits in a circle.
  std::vector<T> got(static_cast<std::size_t>(n));
  const int next = (c.rank() + 1) % c.world(), last = (c.rank() + c.world() - 1) % c.world();
  if (c.rank() == 0) c.send(share<T>(0, n), next, "ring");
  c.recv(got, last, "ring");
  if (c.rank() != 0) c.send(share<T>(c.rank(), n), next, "ring");
  for (std::int64_t i = 0; i < n; ++i) require(same(got[static_cast<std::size_t>(i)], value<T>(last, i)), "recv");
}

std::vector<std::string> none(int world) { return std::vector<std::string>(static_cast<std::size_t>(world)); }

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }
}  // namespace

TEST_CASE("comm: every collective gives what its definition says, bit by bit, for all dtypes and odd counts") {
  for (const WorldCase& w : all_worlds()) {
    CAPTURE(w.world);
    CAPTURE(static_cast<int>(w.over));
    const auto errors = in_world(w.over, w.world, [](Communicator& c) {
      for (const std::int64_t n : {0, 1, 5, 4099}) {
        check_reductions<double>(c, n);
        check_reductions<float>(c, n);
        check_reductions<BFloat16, float>(c, n);
        check_reductions<std::int64_t>(c, n);
        check_copies<double>(c, n);
        check_copies<BFloat16>(c, n);
        check_copies<std::uint8_t>(c, n);
        c.barrier("end");
      }
    });
    CHECK(errors == none(w.world));
  }
}

TEST_CASE("comm: more than any socket buffers goes both ways at once") {
  for (const Over over : {Over::threads, Over::tcp}) {
    const auto errors = in_world(over, 3, [](Communicator& c) {
      std::vector<float> x(std::size_t{6} << 20);
      for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(c.rank() * static_cast<int>(i % 7));
      c.all_reduce(x, Reduction::sum, "long");
      for (std::size_t i = 0; i < x.size(); ++i) require(x[i] == static_cast<float>(3 * (i % 7)), "long");
    });
    CHECK(errors == none(3));
  }
}

TEST_CASE("comm: max gives NaN where any rank has one") {
  const auto errors = in_world(Over::threads, 3, [](Communicator& c) {
    std::vector<float> x{1, 2, 3};
    x[static_cast<std::size_t>(c.rank())] = std::numeric_limits<float>::quiet_NaN();
    c.all_reduce(x, Reduction::max, "nan");
    for (const float v : x) require(std::isnan(v), "NaN");
  });
  CHECK(errors == none(3));
}

TEST_CASE("comm: calls that were started go on beside the caller, in issue order, and blocking ones queue behind") {
  for (const Over over : {Over::threads, Over::tcp}) {
    std::atomic<bool> started = false;
    const auto errors = in_world(over, 2, [&](Communicator& c) {
      while (c.rank() == 1 && !started) std::this_thread::yield();  // it comes when rank 0's calls have returned
      std::vector<std::vector<double>> data{share<double>(c.rank(), 70001), share<double>(c.rank(), 1), {2.0, 3.0}};
      std::vector<double> all(4);
      std::vector<Communicator::Pending> pending;
      pending.push_back(c.start_all_reduce(data[0], Reduction::sum, "long"));
      pending.push_back(c.start_all_reduce(data[1], Reduction::max, "short"));
      pending.push_back(c.start_all_gather(data[2], all, "gather"));
      if (c.rank() == 0) started = true;
      std::vector<double> after{static_cast<double>(c.rank())};
      c.all_reduce(after, Reduction::sum, "after");
      require(after[0] == 1, "after");
      for (std::size_t k = pending.size(); k-- > 0;) pending[k].wait();
      require(same(data[0][70000], reduced<double, double>(2, 70000, Reduction::sum)), "long");
      require(same(data[1][0], reduced<double, double>(2, 0, Reduction::max)), "short");
      require(all == std::vector<double>{2, 3, 2, 3}, "gather");
    });
    CHECK(errors == none(2));
  }
}

TEST_CASE("comm: ranks that make different calls are told both") {
  struct Mismatch {
    std::function<void(Communicator&)> usual, odd;
    std::string usual_text, odd_text;
  };
  std::vector<float> x(6);
  std::vector<double> y(6);
  const auto reduce = [](auto data, std::string tag) {
    return [data, tag](Communicator& c) {
      auto own = data;
      c.all_reduce(own, Reduction::sum, tag);
    };
  };
  const auto broadcast = [x](int root) {
    return [x, root](Communicator& c) {
      auto own = x;
      c.broadcast(own, root, "a");
    };
  };
  const std::vector<Mismatch> cases{
      {reduce(x, "a"), reduce(x, "b"), "all_reduce(sum) of 'a' (f32 x 6, number 1)", "all_reduce(sum) of 'b'"},
      {reduce(x, "a"), reduce(y, "a"), "(f32 x 6, number 1)", "(f64 x 6, number 1)"},
      {reduce(x, "a"), reduce(std::vector<float>(7), "a"), "(f32 x 6, number 1)", "(f32 x 7, number 1)"},
      {reduce(x, "a"), [&](Communicator& c) { c.barrier("a"); }, "all_reduce(sum) of 'a'", "barrier 'a' (number 1)"},
      {broadcast(0), broadcast(1), "broadcast(from rank 0) of 'a'", "broadcast(from rank 1) of 'a'"},
  };
  for (const Over over : {Over::threads, Over::tcp})
    for (const Mismatch& m : cases) {
      CAPTURE(m.odd_text);
      const auto errors = in_world(over, 3, [&](Communicator& c) { (c.rank() == 1 ? m.odd : m.usual)(c); });
      for (const std::string& e : errors) {
        INFO(e);
        CHECK(contains(e, m.usual_text));
        CHECK(contains(e, m.odd_text));
      }
    }
  const auto both_send = in_world(Over::threads, 2, [&](Communicator& c) { c.send(x, 1 - c.rank(), "hot"); });
  for (const std::string& e : both_send) {
    INFO(e);
    CHECK(contains(e, "message(rank 0 to rank 1) of 'hot'"));
    CHECK(contains(e, "message(rank 1 to rank 0) of 'hot'"));
  }
}

TEST_CASE("comm: what one rank gives up for is what the others hear, now and later") {
  for (const Over over : {Over::threads, Over::tcp}) {
    std::atomic<int> through = 0;  // a rank that is still in the first call would hear of it there
    const auto errors = in_world(over, 3, [&through](Communicator& c) {
      std::vector<double> x(3);
      c.all_reduce(x, Reduction::sum, "fine");
      ++through;
      if (c.rank() == 1) {
        while (through < 3) std::this_thread::yield();
        c.give_up("step 5: the loss is not finite");
        return;
      }
      try {
        c.all_reduce(x, Reduction::sum, "lost");
      } catch (const CommError&) {
        c.barrier("later");
      }
    });
    CHECK(errors[1].empty());
    for (const int r : {0, 2}) {
      const std::string& e = errors[static_cast<std::size_t>(r)];
      INFO(e);
      CHECK(contains(e, "barrier 'later' (number 3)"));
      CHECK(contains(e, "all_reduce(sum) of 'lost' (f64 x 3, number 2): rank "));
      CHECK(contains(e, "the loss is not finite"));
    }
  }
}

TEST_CASE("comm: a rank that left, one that does not come, and a call that nobody waits for end the others' waits") {
  using Seconds = std::chrono::duration<double>;
  for (const Over over : {Over::threads, Over::tcp}) {
    CAPTURE(static_cast<int>(over));
    const auto begin = std::chrono::steady_clock::now();
    auto errors = in_world(over, 2, [](Communicator& c) {
      if (c.rank() == 0) c.barrier("alone");
    });
    INFO(errors[0]);
    CHECK(contains(errors[0], "rank 0 in barrier 'alone' (number 1): rank 1 has left"));
    errors = in_world(over, 2, [](Communicator& c) {
      std::vector<double> x(3);
      if (c.rank() == 1) c.barrier("alone");
      const auto pending = c.start_all_reduce(x, Reduction::sum, "dropped");
    });
    INFO(errors[1]);
    CHECK(contains(errors[1], "rank 0 "));
    CommOptions impatient;
    impatient.patience = Seconds(0.2);
    std::atomic<bool> over_yet = false;
    errors = in_world(
        over, 2,
        [&](Communicator& c) {
          while (c.rank() == 1 && !over_yet) std::this_thread::sleep_for(std::chrono::milliseconds(5));
          if (c.rank() == 1) return;
          std::vector<double> x(3);
          const auto done = [&] { over_yet = true; };
          try {
            c.all_reduce(x, Reduction::sum, "alone");
          } catch (...) {
            done();
            throw;
          }
          done();
        },
        impatient);
    INFO(errors[0]);
    CHECK(contains(errors[0], "all_reduce(sum) of 'alone' (f64 x 3, number 1): rank 1 has not come for 0.2 s"));
    CHECK(Seconds(std::chrono::steady_clock::now() - begin).count() < 5);
  }
}

TEST_CASE("comm: arguments that no call can have are refused before anything is sent") {
  const auto group = thread_group(2);
  Communicator& c = *group[0];
  std::vector<float> x(4), y(7);
  std::vector<double> z(8);
  std::vector<std::byte> bytes(3);
  std::vector<std::int32_t> ints(3);
  CHECK_THROWS_AS(c.reduce_scatter(y, x, Reduction::sum, "shares"), ShapeError);
  CHECK_THROWS_AS(c.all_gather(x, y, "shares"), ShapeError);
  CHECK_THROWS_AS(c.all_gather(x, z, "dtypes"), DTypeError);
  CHECK_THROWS_AS(c.all_reduce(bytes, Reduction::sum, "bytes"), DTypeError);
  CHECK_THROWS_AS(c.all_reduce(ints, Reduction::sum, "i32"), DTypeError);
  CHECK_THROWS_AS(c.broadcast(x, 2, "root"), ValueError);
  CHECK_THROWS_AS(c.send(x, 0, "self"), ValueError);
  CHECK_THROWS_AS(c.barrier(std::string(81, 't')), ValueError);
  CHECK_THROWS_AS(thread_group(0), ValueError);
}
