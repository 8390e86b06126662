// distill/objectives/tables/directions.h -- what the term Direction does to a sum of predictions (tables filter,
// combine).
#pragma once
#include "distill/objectives/tables/entries.h"

namespace retort {

/// A direction [n, ...] made tamer:
///   clamp(c)        every element to [-c, c]
///   unit            each sample's to length 1 (1e-8 is added to the length)
///   pixel_clip(c)   vectors along axis 1 to length c at most
using Filter = std::function<Tensor(const Tensor& g, const Clock& clock)>;

/// Named parts of a sum, in the preset's order, made into one direction; t [n] is the time of the weights.
///   min_norm        of two parts u, v, the shortest a u + (1 - a) v, 0 <= a <= 1, per sample: the descent direction
///                   common to both (Desideri 2012; PlacidDreamer, 2407.13976)
///   steady(below)   of parts h, e, n: h where t > below, else V |h| / |V| with V = e - n <e, n> / |n|^2, per sample
///                   (2312.09305)
///   rewarded(N how) of N parts, one for each draw of noise, then N rewards of what they lead to, the weighted sum of
///                   the N by rank or size of reward, per sample: minmax, .9 the mean of the best two less .1 that of
///                   the worst two; best, the best alone; soft(tau), softmax(reward / tau) (RewardSDS, 2503.09601)
using Combine = std::function<Tensor(const Tensors& parts, const Tensor& t, const Clock& clock)>;

Filter make_filter(const Call& call, const NumberMap& numbers);
/// For `parts` parts; ConfigError when the entry takes another number of them.
Combine make_combine(const Call& call, const NumberMap& numbers, std::size_t parts);

}  // namespace retort
