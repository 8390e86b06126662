// distill/train/ranks.h -- one job on several ranks: who draws which rows, what can be shared, what all must agree on.
#pragma once
#include "distill/train/setup.h"
#include "tensor/comm/tcp.h"

namespace retort {

struct Job;

/// Rows [begin, end) of a source's global batch that this rank draws: even parts, whole groups. All without ranks.
struct RankRows {
  std::int64_t begin = 0, end = 0;
};
RankRows rows_of(const Source& source, const Communicator* ranks);

/// Throws ConfigError where ranks could not give what one process gives: terms of `whole` scope, sources with a memory,
/// weights that are drawn or recorded, split momentum, a batch with fewer groups than ranks, batch norm where ranks cut
/// micro-batches otherwise than one process does, another device than the processor.
void check_ranks(Setup& setup, const Communicator& ranks);

/// take(i, work(i)) for i = 0, .., count - 1, in that order, on every rank. Each call of `work` is made by one rank,
/// those of a round of as many as there are ranks at the same time: what is added up in `take` has the same bits on all
/// ranks and on one process.
void in_turn(Communicator* ranks, std::int64_t count, const std::function<std::vector<double>(std::int64_t i)>& work,
             const std::function<void(std::int64_t i, std::span<const double> numbers)>& take);

/// values <- their sums over all ranks.
void sum_over(Communicator& ranks, std::vector<double>& values, std::string_view tag);

/// Rows of all ranks after each other, and where the own ones begin. Without ranks: the own ones.
struct GatheredRows {
  Tensor all;
  std::int64_t first = 0;
};
GatheredRows gather_rows(Communicator* ranks, const Tensor& own);
/// Every tensor of a batch, or of named states, so gathered.
Batch gather_rows(Communicator* ranks, const Batch& own);
TensorMap gather_rows(Communicator* ranks, const TensorMap& own);

/// Running statistics of all ranks' micro-batches: their mean for each buffer.
std::vector<StatUpdate> mean_statistics(Communicator& ranks, std::span<const StatUpdate> own);

/// Hashes of the program, the resolved job, and names, shapes, dtypes and values of all roles.
JobIdentity identity_of(Job& job);

}  // namespace retort
