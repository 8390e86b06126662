// distill/train/call.h -- call expressions of presets: `dkd(alpha=1 beta=8)`, `copy(teacher)`, `lognormal(-1.2 1.2)`.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "distill/train/config.h"

namespace retort {

struct Arg;

/// A name with arguments. A bare word (`teacher`, `tracker@z`, `syn.lr`) or number is a call without arguments; `where`
/// is the place in the file, for errors.
struct Call {
  std::string name;
  std::vector<Arg> args;
  std::string where;

  /// The number this is, if it is one: `-1.2`, `5.0e-3`.
  std::optional<double> number() const;
  /// The expression in its normal spelling: single spaces, positional arguments first, as they must be.
  std::string str() const;
  /// Throws ConfigError "<where>: <call>: <what>".
  [[noreturn]] void fail(const std::string& what) const;
};

/// One argument; `name` is empty for a positional one.
struct Arg {
  std::string name;
  Call value;
};

/// Parses one expression: `name` or `name(arg arg key=arg)`, arguments separated by spaces, each a call again. Commas,
/// repeated names, positional arguments after named ones and trailing text are ConfigErrors that show the column.
Call parse_call(std::string_view text, const std::string& where);
/// The scalar `node` as an expression; counts as read.
Call parse_call(Config& node);

/// Reads a call's arguments against a signature. Parameters are asked for in the order of the signature: each takes the
/// argument of its name, else the next positional one, else its default. `done()` refuses whatever is left over and
/// names the nearest parameter.
///
///     CallArgs args(call);                              // dkd(alpha=1 beta=8), dkd(1 8), dkd(beta=8)
///     const double alpha = args.number("alpha", 1), beta = args.number("beta", 8);
///     args.done();
class CallArgs {
 public:
  explicit CallArgs(Call call) : call_(std::move(call)), used_(call_.args.size(), false) {}

  double number(const std::string& parameter, RealBounds bounds = {});
  double number(const std::string& parameter, double fallback, RealBounds bounds = {});
  std::int64_t integer(const std::string& parameter, IntBounds bounds = {});
  std::int64_t integer(const std::string& parameter, std::int64_t fallback, IntBounds bounds = {});
  std::string word(const std::string& parameter);
  std::string word(const std::string& parameter, const std::string& fallback);
  /// The argument as it stands: a number, a word or a call.
  Call call(const std::string& parameter);
  std::optional<Call> optional_call(const std::string& parameter);
  /// All positional arguments not taken so far (`review_pyramid(s1 s2 s3 s4 like=teacher)`).
  std::vector<Call> rest();
  void done() const;

 private:
  const Call* take(const std::string& parameter);
  const Call& require(const std::string& parameter);

  Call call_;
  std::vector<bool> used_;
  std::vector<std::string> parameters_;
};

/// Throws ConfigError: unknown `what`, the nearest of `names`, and the list of them.
[[noreturn]] void fail_lookup(const Call& call, std::string_view what, const std::vector<std::string>& names);

/// The entry of `table` (any map from names) that the call names; `what` says what the table holds ("distance").
template <class Table>
const typename Table::mapped_type& lookup(const Table& table, const Call& call, std::string_view what) {
  const auto hit = table.find(call.name);
  if (hit != table.end()) return hit->second;
  std::vector<std::string> names;
  for (const auto& entry : table) names.emplace_back(entry.first);
  fail_lookup(call, what, names);
}

}  // namespace retort
