// tests/install_test.cpp -- Retort as a library: what `meson install` lays down is enough for another program.
#include <doctest/doctest.h>

#include <cstdlib>
#include <string>

#include "retort_paths.h"

TEST_CASE("install: the example builds against the installed tree and distils") {
#ifdef RETORT_SANITIZED
  MESSAGE("skipped: a program without sanitizers cannot link a library that has them");
#else
  const std::string root = RETORT_SOURCE_ROOT, build = RETORT_BUILD_ROOT;
  CHECK(std::system((root + "/tests/install_test.sh '" + build + "' '" + root + "'").c_str()) == 0);
#endif
}
