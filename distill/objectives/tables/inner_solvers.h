// distill/objectives/tables/inner_solvers.h -- entries of table `solver` that fill a file of their own.
#pragma once
#include "distill/objectives/inner.h"
#include "distill/objectives/tables/entries.h"

namespace retort {

InnerSolver make_linearised(TableArgs& args);

}  // namespace retort
