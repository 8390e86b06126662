// tests/distill/call_test.cpp -- call expressions of presets: parsing, signatures, table look-up.
#include "distill/train/call.h"

#include <doctest/doctest.h>

#include <map>

#include "tensor/error.h"

using namespace retort;

namespace {

Call parse(const std::string& text) { return parse_call(text, "p.yaml:1:1: d"); }

template <class F>
std::string error_of(F&& f) {
  try {
    f();
  } catch (const ConfigError& e) {
    return e.what();
  }
  return "";
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != text.npos; }

}  // namespace

TEST_CASE("call: words, numbers and nested calls parse and print in one spelling") {
  for (const char* text :
       {"dkd(alpha=1 beta=8)", "l1(floor=0)", "copy(teacher)", "lognormal(-1.2 1.2)", "tracker@z", "sum/sample",
        "-5.0e-3", "pixels(ipc=10 learn=lr)", "gan_d(logistic r1(gamma=.5) k=f(g(1)))"}) {
    CHECK(parse(text).str() == text);
  }
  CHECK(parse("  frac( .02   tmax ) ").str() == "frac(.02 tmax)");
  CHECK(parse("copy()").str() == "copy");
  const Call call = parse("lognormal(-1.2 1.2)");
  CHECK(call.name == "lognormal");
  REQUIRE(call.args.size() == 2);
  CHECK(call.args[0].value.number() == -1.2);
  CHECK(!parse("kd").number());
  Config node = Config::parse("d: dkd(1 8)", "p.yaml");
  CHECK(parse_call(node.child("d")).where == "p.yaml:1:1: d");
}

TEST_CASE("call: bad expressions are errors that show the column") {
  const auto fails = [](const std::string& text) { return error_of([&] { parse(text); }); };
  CHECK(fails("dkd(1, 8)") == "p.yaml:1:1: d: 'dkd(1, 8)', column 6: arguments are separated by spaces, not commas");
  CHECK(contains(fails("dkd(1"), "a parenthesis is not closed"));
  CHECK(contains(fails("dkd(a=1 2)"), "positional argument '2' follows a named one"));
  CHECK(contains(fails("dkd(a=1 a=2)"), "argument 'a' is given twice"));
  CHECK(contains(fails("dkd(1=2)"), "the name of an argument must be a word"));
  CHECK(contains(fails("dkd(a=)"), "expected a name"));
  CHECK(contains(fails("dkd(f(1)g)"), "separated by spaces"));
  CHECK(contains(fails("dkd(1) x"), "expected the end; got 'x'"));
  CHECK(contains(fails("3(1)"), "a number cannot be called"));
  CHECK(contains(fails(""), "expected a name"));
  CHECK(contains(fails("\"a\""), "expected a name"));
  std::string deep;
  for (int i = 0; i < 100000; ++i) deep += "f(";
  CHECK(contains(fails(deep), "nested too deeply"));
}

TEST_CASE("call: arguments bind by name, then by position, then by default") {
  const auto read = [](const std::string& text) {
    CallArgs args(parse(text));
    const double alpha = args.number("alpha", 1.), beta = args.number("beta", 8.);
    args.done();
    return std::pair(alpha, beta);
  };
  CHECK(read("dkd") == std::pair(1., 8.));
  CHECK(read("dkd(2 3)") == std::pair(2., 3.));
  CHECK(read("dkd(3 alpha=2)") == std::pair(2., 3.));
  CHECK(read("dkd(beta=3)") == std::pair(1., 3.));
  CHECK(error_of([&] { read("dkd(bta=3)"); }) ==
        "p.yaml:1:1: d: dkd(bta=3): unknown argument 'bta'; the nearest is 'beta'");
  CHECK(contains(error_of([&] { read("dkd(1 2 3)"); }), "too many arguments; '3' is not wanted"));
  CHECK(contains(error_of([&] { read("dkd(one)"); }), "'alpha' must be a number; got 'one'"));
}

TEST_CASE("call: arguments are typed and bounded") {
  CallArgs args(parse("review(s1 s2 4 like=teacher solver=unroll(30 lr=.1) t=0)"));
  CHECK(args.word("like") == "teacher");
  const Call solver = args.call("solver");
  CHECK(CallArgs(solver).integer("steps", {.min = 1}) == 30);
  CHECK(contains(error_of([&] { args.number("t", {.above = 0}); }), "'t' must be above 0; got 0"));
  CHECK(args.optional_call("first")->name == "s1");
  CHECK(args.rest().size() == 2);
  args.done();
  CallArgs other(parse("f(1.5 g(1))"));
  CHECK(contains(error_of([&] { other.integer("n"); }), "must be an integer; got '1.5'"));
  CHECK(contains(error_of([&] { other.word("w"); }), "must be a word; got 'g(1)'"));
  CHECK(contains(error_of([&] { other.word("w"); }), "argument 'w' is missing"));
}

TEST_CASE("call: a table look-up names the nearest entry") {
  const std::map<std::string, int> table = {{"kl", 1}, {"dkd", 2}, {"dist", 3}};
  CHECK(lookup(table, parse("dkd(1 8)"), "distance") == 2);
  CHECK(error_of([&] { lookup(table, parse("dkdd"), "distance"); }) ==
        "p.yaml:1:1: d: unknown distance 'dkdd'; the nearest is 'dkd'; known: dist, dkd, kl");
}
