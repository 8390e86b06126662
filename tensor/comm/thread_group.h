// tensor/comm/thread_group.h -- ranks that are threads of one process, for tests and for several devices of one
// process.
#pragma once
#include "tensor/comm/transport.h"

namespace retort {

/// The communicators of `world` ranks; each belongs to a thread of its own. Of the options `patience` counts, as a
/// thread cannot die alone: one whose communicator goes has left.
std::vector<std::unique_ptr<Communicator>> thread_group(int world, const CommOptions& options = {});

}  // namespace retort
