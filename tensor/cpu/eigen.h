// tensor/cpu/eigen.h -- the only way Eigen is included: single-threaded, and its assertions throw instead of aborting.
#pragma once
#include "tensor/error.h"

#ifndef EIGEN_DONT_PARALLELIZE
#define EIGEN_DONT_PARALLELIZE  // OpenMP regions are ours: block sizes must not depend on the thread count
#endif
#define eigen_assert(condition)                                                                 \
  do {                                                                                          \
    if (!(condition)) throw ::retort::InternalError("eigen: assertion failed: {}", #condition); \
  } while (false)

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // g++ 12 loses track of Eigen's packet arrays
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <Eigen/Core>
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif
