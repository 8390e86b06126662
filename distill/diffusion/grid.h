// distill/diffusion/grid.h -- rows of times that samplers walk and discrete methods draw from. Index 0 is the cleanest.
#pragma once
#include <span>

#include "distill/diffusion/schedule.h"

namespace retort {

/// n noise levels sigma_i^(1/rho) at equal distances from sigma_min to sigma_max (Karras et al. 2022, equation 5).
std::vector<double> karras_levels(int n, double sigma_min = 0.002, double sigma_max = 80, double rho = 7);
/// The level at the fraction u of that way, 0 the cleanest.
double karras_level(double u, double sigma_min = 0.002, double sigma_max = 80, double rho = 7);
/// n times at equal distances, both ends included.
std::vector<double> uniform_grid(int n, double begin, double end);
/// The n indices k (i + 1) - 1, k = steps / n, i = 0 ... n - 1, of a discrete process (DDIM, LCM: 19, 39, ..., 999 for
/// 50 of 1000). ValueError unless n divides steps.
std::vector<double> subset_grid(int n, int steps);
/// gamma u / (1 + (gamma - 1) u) for u in [0, 1]: times of flows for larger images (Esser et al. 2024).
double shift_time(double u, double gamma);

/// Table `grid`, ascending, n >= 2 times on `schedule`: karras(n rho sigma_min sigma_max), whose levels are sigma /
/// alpha; uniform(n), from t_min to t_max; subset(n) of a vp schedule; shift(gamma grid) of the fraction of [t_min,
/// t_max]; ends(grid), the same with the clean time in front. ConfigError naming the nearest entry.
std::vector<double> make_grid(const Call& call, const NoiseSchedule& schedule);

}  // namespace retort
