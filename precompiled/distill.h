// precompiled/distill.h -- as engine.h, for distill.
#include <filesystem>
#include <set>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "distill/objectives/tables/entries.h"
#include "distill/train/setup.h"
#include "precompiled/engine.h"
