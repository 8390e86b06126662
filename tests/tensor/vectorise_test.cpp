// tests/tensor/vectorise_test.cpp -- asks the compilers whether loops over the elementwise functions become vector
// code.
#include <doctest/doctest.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace {

namespace fs = std::filesystem;

// A folder of its own for one test, removed with everything in it.
class ScratchFolder {
 public:
  ScratchFolder() {
    std::string name = (fs::temp_directory_path() / "retort_vectorise_XXXXXX").string();
    REQUIRE(mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~ScratchFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

// What `command` prints on both streams, or nothing when it fails.
std::optional<std::string> output_of(const std::string& command) {
  FILE* pipe = popen((command + " 2>&1").c_str(), "r");
  if (pipe == nullptr) return std::nullopt;
  std::string text;
  std::array<char, 4096> buffer;
  for (std::size_t n; (n = std::fread(buffer.data(), 1, buffer.size(), pipe)) > 0;) text.append(buffer.data(), n);
  if (pclose(pipe) != 0) return std::nullopt;
  return text;
}

// The folder that holds tensor/math.h: this file's name is absolute, or relative to the build folder.
std::optional<fs::path> source_root() {
  const fs::path from_name = fs::path(__FILE__).parent_path() / ".." / "..";
  for (const fs::path& root : {from_name, fs::current_path(), fs::current_path() / "build" / from_name}) {
    if (fs::exists(root / "tensor" / "math.h")) return fs::absolute(root);
  }
  return std::nullopt;
}

struct Loop {
  std::string body;
  bool vectorises;
};

// The last one cannot vectorise (it branches to the wide reduction): it shows that the test can tell.
const std::vector<Loop> kLoops = {
    {"y[i] = exp_fast(x[i])", true},
    {"y[i] = expm1_fast(x[i])", true},
    {"y[i] = log_fast(x[i])", true},
    {"y[i] = log1p_fast(x[i])", true},
    {"y[i] = tanh_fast(x[i])", true},
    {"y[i] = sigmoid_fast(x[i])", true},
    {"y[i] = erf_fast(x[i])", true},
    {"y[i] = rsqrt_fast(x[i])", true},
    {"float c; sincos_bounded(x[i], y[i], c)", true},
    {"float s; sincos_bounded(x[i], s, y[i])", true},
    {"sincos_turns(x[i], y[i], z[i])", true},
    {"y[i] = uniform_from_word(w[i])", true},
    {"normals_from_words(w[i], v[i], y[i], z[i])", true},
    {"y[i] = uniform_from_word(philox4x32({{i, 1, 2, 3}}, 4, 5).word[0])", true},
    {"y[i] = sin_fast(x[i])", false},
};

// One loop to a line: loop k stands on line k + 3, where the compilers' remarks will point.
void write_loops(const fs::path& file) {
  std::ofstream out(file);
  out << "#include \"tensor/philox.h\"\nusing namespace retort;\n";
  for (std::size_t k = 0; k < kLoops.size(); ++k) {
    out << "void loop" << k << "(const float* __restrict x, float* __restrict y, float* __restrict z, "
        << "const unsigned* __restrict w, const unsigned* __restrict v, unsigned n) { (void)x, (void)z, (void)w, "
           "(void)v; "
        << "for (unsigned i = 0; i < n; ++i) { " << kLoops[k].body << "; } }\n";
  }
}

void check_vectorised(const std::string& compiler, const std::string& remark_flag, std::string_view remark) {
  if (!output_of(compiler + " --version")) {
    MESSAGE("skipped: no ", compiler, " here");
    return;
  }
  const std::optional<fs::path> root = source_root();
  if (!root) {
    MESSAGE("skipped: the sources are not where they were when this program was built");
    return;
  }
  const ScratchFolder scratch;
  const fs::path file = scratch.path() / "loops.cpp";
  write_loops(file);
  // A fixed processor (AVX2 and FMA): what the compiler does must not depend on where the test runs.
  const std::optional<std::string> remarks =
      output_of("LC_ALL=C " + compiler +
                " -std=c++20 -O3 -march=x86-64-v3 -fno-math-errno -fno-trapping-math -ffp-contract=off " + remark_flag +
                " -I'" + root->string() + "' -S -o /dev/null '" + file.string() + "'");
  REQUIRE(remarks.has_value());
  for (std::size_t k = 0; k < kLoops.size(); ++k) {
    const std::string where = "loops.cpp:" + std::to_string(k + 3) + ":";
    bool vectorised = false;
    for (std::size_t at = remarks->find(where); at != std::string::npos; at = remarks->find(where, at + 1)) {
      const std::string_view line = std::string_view(*remarks).substr(at, remarks->find('\n', at) - at);
      vectorised |= line.find(remark) != std::string_view::npos;
    }
    CHECK_MESSAGE(vectorised == kLoops[k].vectorises, compiler, ": ", kLoops[k].body);
  }
}

}  // namespace

TEST_CASE("vectorise: g++ turns the elementwise loops into vector code") {
  check_vectorised("g++", "-fopt-info-vec-optimized", "loop vectorized");
}

TEST_CASE("vectorise: clang++ turns the elementwise loops into vector code") {
  check_vectorised("clang++", "-Rpass=loop-vectorize", "vectorized loop");
}
