// distill/objectives/tables/advantages.cpp -- advantages of sampled tokens: rewards, log-ratios, groups, returns.
#include <algorithm>
#include <cmath>

#include "distill/objectives/tables/policies.h"

namespace retort {

namespace {
using Values = std::vector<double>;

PolicyValue by_token(Values v) { return {false, std::move(v)}; }
PolicyValue by_row(Values v) { return {true, std::move(v)}; }

Values tokens_of(const PolicyValue& x, const PolicyData& data) {
  if (!x.by_row) return x.values;
  Values v;
  for (const std::int64_t b : data.row) v.push_back(x.values[static_cast<std::size_t>(b)]);
  return v;
}

const Values& known(const PolicyData& data, const std::string& name) {
  return lookup(data.log_prob, Call{name, {}, "advantage"}, "log-probability");
}

Values rewards_of(const PolicyData& data) {
  return lookup(data.batch.more, Call{"reward", {}, "advantage"}, "thing known of the texts").values();
}

Values totals(const Values& x, const PolicyData& data) {
  Values sum(static_cast<std::size_t>(data.rows), 0);
  for (std::size_t i = 0; i < x.size(); ++i) sum[static_cast<std::size_t>(data.row[i])] += x[i];
  return sum;
}

/// An entry over another expression: its names and scope are that one's.
Advantage over(Advantage x, std::function<PolicyValue(const PolicyValue&, const PolicyData&)> f) {
  Advantage made{{}, x.names, x.scope};
  made.value = [inner = std::move(x.value), f = std::move(f)](const PolicyData& data) { return f(inner(data), data); };
  return made;
}

Advantage of_argument(TableArgs& args, const NumberMap& numbers) { return make_advantage(args.call("of"), numbers); }

Advantage make_reward_value(TableArgs&, const NumberMap&) {
  return {[](const PolicyData& data) { return by_row(rewards_of(data)); }, {}, Scope::sample};
}

Advantage make_log_ratio(TableArgs& args, const NumberMap&) {
  const std::string a = args.word("of"), b = args.word("over");
  Advantage made;
  for (const std::string& name : {a, b})
    if (name != "old") made.names.push_back(name);
  made.value = [a, b](const PolicyData& data) {
    const Values &p = known(data, a), &q = known(data, b);
    Values v;
    for (std::size_t i = 0; i < p.size(); ++i) v.push_back(p[i] - q[i]);
    return by_token(std::move(v));
  };
  return made;
}

Advantage make_total(TableArgs& args, const NumberMap& numbers) {
  return over(of_argument(args, numbers),
              [](const PolicyValue& x, const PolicyData& data) { return by_row(totals(tokens_of(x, data), data)); });
}

/// The reward of a constrained problem without a multiplier: beyond the limit of the divergence from the teacher the
/// response earns minus the excess.
Advantage make_budget(TableArgs& args, const NumberMap&) {
  const std::string teacher = args.word("teacher");
  const Weight limit = args.scheduled("limit"), penalty = args.scheduled("penalty");
  Advantage made{{}, {"student", teacher}, Scope::sample};
  made.value = [teacher, limit, penalty](const PolicyData& data) {
    const Values &s = known(data, "student"), &t = known(data, teacher);
    Values cost;
    for (std::size_t i = 0; i < s.size(); ++i) cost.push_back(s[i] - t[i]);
    Values reward = rewards_of(data);
    const Values spent = totals(cost, data);
    for (std::size_t b = 0; b < reward.size(); ++b) {
      const double excess = spent[b] - limit.at(data.clock);
      if (excess > 0) reward[b] = -penalty.at(data.clock) * excess;
    }
    return by_row(std::move(reward));
  };
  return made;
}

/// Responses to one prompt. f(values of the group) -> values.
PolicyValue in_groups(const PolicyValue& x, const PolicyData& data, const std::function<Values(const Values&)>& f) {
  if (!x.by_row) throw ConfigError("advantage: groups compare responses; hint: total(..) of what is known by token");
  const auto ids =
      lookup(data.batch.more, Call{"group", {}, "advantage"}, "thing known of the texts").values<std::int64_t>();
  std::map<std::int64_t, std::vector<std::size_t>> members;
  for (std::size_t b = 0; b < ids.size(); ++b) members[ids[b]].push_back(b);
  Values all(ids.size(), 0);
  for (const auto& [id, rows] : members) {
    Values own;
    for (const std::size_t b : rows) own.push_back(x.values[b]);
    const Values made = f(own);
    for (std::size_t i = 0; i < rows.size(); ++i) all[rows[i]] = made[i];
  }
  return by_row(std::move(all));
}

double mean_of(const Values& v) {
  double sum = 0;
  for (const double x : v) sum += x;
  return sum / static_cast<double>(std::max<std::size_t>(v.size(), 1));
}

/// With the sample deviation, as released trainers have it; one response alone has deviation 0.
double deviation_of(const Values& v) {
  const double mean = mean_of(v);
  double sum = 0;
  for (const double x : v) sum += (x - mean) * (x - mean);
  return v.size() < 2 ? 0 : std::sqrt(sum / static_cast<double>(v.size() - 1));
}

Advantage row_argument(TableArgs& args, const NumberMap& numbers) {
  const auto of = args.optional_call("of");
  return make_advantage(of ? *of : Call{"reward", {}, "advantage"}, numbers);
}

Advantage make_group(TableArgs& args, const NumberMap& numbers) {
  constexpr double kEps = 1e-6;
  const std::string by = args.word("by", "std");
  if (by != "std" && by != "centre") throw ConfigError("group: by std, or centre alone; got {}", by);
  const bool divide = by == "std";
  return over(row_argument(args, numbers), [divide](const PolicyValue& x, const PolicyData& data) {
    return in_groups(x, data, [divide](const Values& own) {
      const double mean = mean_of(own), scale = divide ? deviation_of(own) + kEps : 1;
      Values v;
      for (const double r : own) v.push_back((r - mean) / scale);
      return v;
    });
  });
}

Advantage make_rloo(TableArgs& args, const NumberMap& numbers) {
  return over(row_argument(args, numbers), [](const PolicyValue& x, const PolicyData& data) {
    return in_groups(x, data, [](const Values& own) {
      const auto n = static_cast<double>(own.size());
      const double sum = mean_of(own) * n;
      Values v;
      for (const double r : own) v.push_back(n < 2 ? r : r - (sum - r) / (n - 1));
      return v;
    });
  });
}

/// How unlike a response is to the others of its prompt.
Advantage make_distinct(TableArgs&, const NumberMap&) {
  return {
      [](const PolicyData& data) {
        const auto ids =
            lookup(data.batch.more, Call{"group", {}, "advantage"}, "thing known of the texts").values<std::int64_t>();
        const std::vector<std::int64_t> tokens = places_of(data.batch).token.values<std::int64_t>();
        std::vector<std::map<std::int64_t, double>> counts(ids.size());
        for (std::size_t i = 0; i < tokens.size(); ++i) counts[static_cast<std::size_t>(data.row[i])][tokens[i]] += 1;
        const auto product = [&](std::size_t a, std::size_t b) {
          double sum = 0;
          for (const auto& [token, count] : counts[a])
            if (const auto same = counts[b].find(token); same != counts[b].end()) sum += count * same->second;
          return sum;
        };
        Values apart(ids.size(), 0);
        for (std::size_t a = 0; a < ids.size(); ++a) {
          double others = 0;
          for (std::size_t b = 0; b < ids.size(); ++b) {
            if (b == a || ids[b] != ids[a]) continue;
            const double lengths = std::sqrt(product(a, a) * product(b, b));
            apart[a] += lengths > 0 ? 1 - product(a, b) / lengths : 1;
            others += 1;
          }
          if (others > 0) apart[a] /= others;
        }
        return by_row(std::move(apart));
      },
      {},
      Scope::sample};
}

Advantage make_to_go(TableArgs& args, const NumberMap& numbers) {
  Advantage of = of_argument(args, numbers);
  const Weight gamma = args.scheduled("gamma", 1);
  const std::string mean = args.word("mean", "false");
  const bool divide = mean == "true";
  if (!divide && mean != "false") throw ConfigError("to_go: mean is true or false; got {}", mean);
  return over(std::move(of), [gamma, divide](const PolicyValue& x, const PolicyData& data) {
    Values v = tokens_of(x, data);
    double sum = 0, left = 0;
    for (std::size_t i = v.size(); i-- > 0;) {
      if (i + 1 < v.size() && data.row[i + 1] != data.row[i]) sum = left = 0;
      sum = v[i] + gamma.at(data.clock) * sum;
      left += 1;
      v[i] = divide ? sum / left : sum;
    }
    return by_token(std::move(v));
  });
}

Advantage make_after(TableArgs& args, const NumberMap& numbers) {
  return over(of_argument(args, numbers), [](const PolicyValue& x, const PolicyData& data) {
    Values v = tokens_of(x, data);
    double sum = 0;
    for (std::size_t i = v.size(); i-- > 0;) {
      if (i + 1 < v.size() && data.row[i + 1] != data.row[i]) sum = 0;
      sum += std::exchange(v[i], sum);
    }
    return by_token(std::move(v));
  });
}

Advantage make_bounded(TableArgs& args, const NumberMap& numbers) {
  Advantage of = of_argument(args, numbers);
  const double most = args.number("most", {.min = 0});
  return over(std::move(of), [most](PolicyValue x, const PolicyData&) {
    for (double& v : x.values) v = std::clamp(v, -most, most);
    return x;
  });
}

Advantage make_scaled(TableArgs& args, const NumberMap& numbers) {
  Advantage of = of_argument(args, numbers);
  const Weight by = args.scheduled("by");
  return over(std::move(of), [by](PolicyValue x, const PolicyData& data) {
    for (double& v : x.values) v *= by.at(data.clock);
    return x;
  });
}

Advantage make_whiten(TableArgs& args, const NumberMap& numbers) {
  constexpr double kEps = 1e-8;
  Advantage whole = over(of_argument(args, numbers), [](const PolicyValue& x, const PolicyData& data) {
    Values v = tokens_of(x, data);
    const double mean = mean_of(v), scale = deviation_of(v) + kEps;
    for (double& a : v) a = (a - mean) / scale;
    return by_token(std::move(v));
  });
  whole.scope = Scope::batch;
  return whole;
}
}  // namespace

Advantage make_advantage(const Call& call, const NumberMap& numbers) {
  static const std::map<std::string, Advantage (*)(TableArgs&, const NumberMap&), std::less<>> table{
      {"reward", make_reward_value}, {"log_ratio", make_log_ratio}, {"total", make_total},
      {"budget", make_budget},       {"group", make_group},         {"rloo", make_rloo},
      {"to_go", make_to_go},         {"after", make_after},         {"bounded", make_bounded},
      {"scaled", make_scaled},       {"whiten", make_whiten},       {"distinct", make_distinct}};
  TableArgs args(call, numbers);
  Advantage made = lookup(table, call, "advantage")(args, numbers);
  args.done();
  return made;
}

}  // namespace retort
