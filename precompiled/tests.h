// precompiled/tests.h -- as engine.h, for the tests.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>

#include "distill/train/run.h"
#include "precompiled/distill.h"
#include "tests/op_case.h"
