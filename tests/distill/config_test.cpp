// tests/distill/config_test.cpp -- the configuration tree: strict parsing, typed reads, overrides, extends, emission.
#include "distill/train/config.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <map>
#include <random>

#include "distill/train/nearest.h"
#include "tensor/error.h"

using namespace retort;

namespace {

Config parse(const std::string& text) { return Config::parse(text, "job.yaml"); }

/// The message of the ConfigError that `f` throws; empty if it throws none.
template <class F>
std::string error_of(F&& f) {
  try {
    f();
  } catch (const ConfigError& e) {
    return e.what();
  }
  return "";
}

std::string parse_error(const std::string& text) {
  return error_of([&] { parse(text); });
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != text.npos; }

const char* const kJob = R"(
job: {name: digits, seed: 1234}
run:
  steps: 1e3        # an integer
  device: auto
  verbose: true
optim:
  student:
    lr: 1.0e-3
    betas: [.9, .999]
data:
  tags: [a, b c, "3"]
)";

}  // namespace

TEST_CASE("config: values are read by dotted path and type") {
  Config job = parse(kJob);
  CHECK(job.get<std::string>("job.name") == "digits");
  CHECK(job.get<std::uint64_t>("job.seed") == 1234);
  CHECK(job.get<int>("run.steps") == 1000);
  CHECK(job.get<bool>("run.verbose"));
  CHECK(job.get<double>("optim.student.lr") == 1e-3);
  CHECK(job.get<std::vector<double>>("optim.student.betas") == std::vector<double>{.9, .999});
  CHECK(job.child("data").get<std::vector<std::string>>("tags") == std::vector<std::string>{"a", "b c", "3"});
  CHECK(job.get_choice("run.device", {"auto", "cpu"}) == "auto");
  job.check_all_read();
}

TEST_CASE("config: what YAML allows and a job file should not hold is refused with its position") {
  CHECK(parse_error("a: 1\nb: 2\na: 3\n") == "job.yaml:3:1: duplicate key 'a'; first given at job.yaml:1:1");
  CHECK(parse_error("run:\n  x: 1\n  x: 2\n") == "job.yaml:3:3: run: duplicate key 'x'; first given at job.yaml:2:3");
  CHECK(contains(parse_error("optim: {on: 1}"), "job.yaml:1:9: optim: the key 'on' is a boolean in YAML 1.1"));
  for (const char* word : {"y", "N", "yes", "No", "off", "True"}) {
    CHECK(contains(parse_error(std::string(word) + ": 1"), "is a boolean in YAML 1.1"));
  }
  CHECK(contains(parse_error("a: &x 1\nb: *x\n"), "job.yaml:1:4: anchors and aliases"));
  CHECK(contains(parse_error("a: {<<: {b: 1}}"), "merge keys are not supported"));
  CHECK(contains(parse_error("a: !!int 3"), "tags are not supported"));
  CHECK(contains(parse_error("a: [1, 2"), "bad YAML syntax"));
  CHECK(contains(parse_error("a:\n\tb: 1\n"), "indented with a tab"));
  CHECK(contains(parse_error("a: 'x\n"), "bad YAML syntax"));
  CHECK(contains(parse_error("a:\n  b: 1\n c: 2\n"), "job.yaml:3:"));
  CHECK(contains(parse_error("a: 1\n---\nb: 2\n"), "one YAML document"));
  CHECK(contains(parse_error("- 1\n- 2\n"), "expected a map at the top; got a list"));
  CHECK(contains(parse_error("{[1]: 2}"), "a key must be a text"));
  std::string deep = "a: ";
  for (int i = 0; i < 20000; ++i) deep += "{b: ";
  CHECK(contains(parse_error(deep), "job.yaml:"));
  CHECK(parse_error("") == "");
  CHECK_THROWS_AS(Config::parse_file("/nonexistent/job.yaml"), IoError);
}

TEST_CASE("config: a conversion is exact or an error that names file, line, path and value") {
  Config c =
      parse("i: 12\nf: 1.5\nt: ten\nq: \"12\"\nb: yes\no: 010\nbig: 3000000000\nneg: -1\nl: [1, x]\nz:\ninf: -.inf\n");
  CHECK(c.get<int>("i") == 12);
  CHECK(c.get<double>("i") == 12.);
  CHECK(c.get<std::string>("i") == "12");
  CHECK(c.get<double>("inf") == -std::numeric_limits<double>::infinity());
  const auto fails = [&](auto read) { return error_of([&] { read(); }); };
  CHECK(fails([&] { c.get<int>("f"); }) == "job.yaml:2:1: f: expected an integer (32 bits); got '1.5'");
  CHECK(contains(fails([&] { c.get<double>("t"); }), "expected a number; got 'ten'"));
  CHECK(contains(fails([&] { c.get<int>("q"); }), "remove the quotes"));
  CHECK(contains(fails([&] { c.get<bool>("b"); }), "expected true or false; got 'yes'"));
  CHECK(contains(fails([&] { c.get<int>("o"); }), "got '010'"));
  CHECK(contains(fails([&] { c.get<int>("big"); }), "32 bits"));
  CHECK(c.get<std::int64_t>("big") == 3000000000);
  CHECK(contains(fails([&] { c.get<std::uint64_t>("neg"); }), "non-negative"));
  CHECK(contains(fails([&] { c.get<std::vector<int>>("l"); }), "job.yaml:9:8: l.1: expected an integer"));
  CHECK(contains(fails([&] { c.get<std::vector<int>>("i"); }), "expected a list; got '12'"));
  CHECK(contains(fails([&] { c.get<int>("z", 3); }), "got null"));
  CHECK(contains(fails([&] { c.get<int>("i.x"); }), "job.yaml:1:1: i: expected a map"));
}

TEST_CASE("config: bounds and choices are part of the read") {
  Config c = parse("run: {steps: 0, device: cud, lr: 0, p: 1.5}");
  CHECK(error_of([&] { c.get_int("run.steps", {.min = 1}); }) == "job.yaml:1:7: run.steps: must be at least 1; got 0");
  CHECK(contains(error_of([&] { c.get_real("run.lr", {.above = 0}); }), "must be above 0; got 0"));
  CHECK(contains(error_of([&] { c.get_real("run.p", .5, {.max = 1}); }), "must be at most 1; got 1.5"));
  CHECK(error_of([&] {
          c.get_choice("run.device", {"auto", "cpu", "cuda", "emu"});
        }) == "job.yaml:1:17: run.device: must be one of auto, cpu, cuda, emu; got 'cud'; the nearest is 'cuda'");
  CHECK(c.get_int("run.keep_last", 3, {.min = 1}) == 3);
}

TEST_CASE("config: unknown keys are all listed, each with the nearest key known at its level") {
  Config c = parse("run:\n  stpes: 5\n  device: cpu\nmodle: {a: 1, b: 2}\nlist: [{lr: 1, wd: 2}]\n");
  c.get<int>("run.steps", 1);
  c.get<std::string>("run.device");
  c.has("model");
  for (Config& group : c.child("list").items()) group.get<double>("lr");
  const std::string message = error_of([&] { c.check_all_read(); });
  CHECK(contains(message, "3 unknown keys"));
  CHECK(contains(message, "job.yaml:2:3: run.stpes: unknown key; the nearest known key is 'steps'"));
  CHECK(contains(message, "job.yaml:4:1: modle: unknown key; the nearest known key is 'model'"));
  CHECK(contains(message, "job.yaml:5:16: list.0.wd: unknown key; the nearest known key is 'lr'"));

  Config d = parse("run: {stepz: 5}");
  CHECK(error_of([&] { d.get<int>("run.steps"); }) ==
        "job.yaml:1:1: run.steps: required key is missing; is 'stepz' (job.yaml:1:7) meant?");
  CHECK(error_of([&] { d.get<int>("optim.lr"); }) == "job.yaml: optim.lr: required key is missing");
}

TEST_CASE("config: overrides are parsed as YAML, replace, and are reported as such") {
  Config c = parse(kJob);
  c.apply_override("optim.student.lr=0.1");
  c.apply_override("optim.student.betas=[0, .9]");
  c.apply_override("data.tags.1=z");
  c.apply_override("run={steps: 7, deviec: cpu}");
  c.apply_override("optim.studnet.lr=3");
  c.apply_override("job.name=a=b");
  CHECK(c.get<double>("optim.student.lr") == .1);
  CHECK(c.get<std::vector<double>>("optim.student.betas") == std::vector<double>{0, .9});
  CHECK(c.get<std::vector<std::string>>("data.tags")[1] == "z");
  CHECK(c.get<int>("run.steps") == 7);
  CHECK(c.get<std::string>("run.device", "auto") == "auto");
  CHECK(c.get<std::string>("job.name") == "a=b");
  c.get<int>("job.seed");
  const std::string message = error_of([&] { c.check_all_read(); });
  CHECK(contains(message, "command line: run.deviec: unknown key; the nearest known key is 'device'"));
  CHECK(contains(message, "command line: optim.studnet: unknown key; the nearest known key is 'student'"));
  CHECK(contains(error_of([&] { c.apply_override("lr"); }), "expected key.path=value"));
  CHECK(contains(error_of([&] { c.apply_override("lr=[1"); }), "is a bracket not closed?; got 'lr=[1'"));
  CHECK(contains(error_of([&] { c.apply_override("job.seed.x=1"); }), "expected a map"));
  CHECK(contains(error_of([&] { c.apply_override("data.tags.9=1"); }), "no entry '9'"));
}

TEST_CASE("config: a key that holds dots can be addressed") {
  Config c = parse("optim: {syn.x: {lr: 1}, syn.lr: {lr: 2}, syn: {z: 3}}");
  c.apply_override("optim.syn.lr.lr=5");
  CHECK(c.get<int>("optim.syn.x.lr") == 1);
  CHECK(c.get<int>("optim.syn.lr.lr") == 5);
  CHECK(c.get<int>("optim.syn.z") == 3);
  c.check_all_read();
}

TEST_CASE("config: extends merges maps, replaces lists and shows cycles") {
  std::map<std::string, std::string> files = {
      {"root", "numbers: {a: 1, b: [1, 2, 3]}\nterms: {x: {kind: match, d: sq}}\ntitle: root\n"},
      {"mid", "extends: root\nnumbers: {a: 2}\n"},
      {"p", "extends: q"},
      {"q", "extends: p"},
  };
  const auto resolver = [&](const std::string& name) { return Config::parse(files.at(name), name + ".yaml"); };
  Config c = parse("extends: mid\nnumbers: {b: [9]}\nterms: {x: {d: l1}, z: 1}\n");
  c.resolve_extends(resolver);
  CHECK(c.to_yaml() == "numbers:\n  a: 2\n  b: [9]\nterms:\n  x:\n    kind: match\n    d: l1\n  z: 1\ntitle: root\n");
  CHECK(c.child("terms").child("x.d").where() == "job.yaml:3:13: terms.x.d");
  CHECK(c.child("terms").child("x.kind").where() == "root.yaml:2:13: terms.x.kind");
  Config cycle = parse("extends: p\n");
  CHECK(contains(error_of([&] { cycle.resolve_extends(resolver); }), "p -> q -> p"));
}

TEST_CASE("config: the resolved YAML holds the defaults that were asked for and reads back the same") {
  Config c = parse(
      "run: {steps: 5}\nweird: {\"a: b\": \"null\", s: \"x\\ty\\n\\\"\\\\ é\", none: null, e: {}, l: [], "
      "m: [[1, 2], {k: [a, {z: 1}]}], v: 'true', u: 'plain, not'}\n");
  c.child("data").get<int>("workers", 2);
  c.child("nothing");
  c.get<std::string>("job.tag", "007");
  c.get<std::vector<std::string>>("job.names", {"- x", "", "ok"});
  const std::string yaml = c.to_yaml();
  CHECK(contains(yaml, "data:\n  workers: 2\n"));
  CHECK(contains(yaml, "tag: \"007\""));
  CHECK(!contains(yaml, "nothing"));
  Config again = parse(yaml);
  CHECK(again.to_yaml() == yaml);
  CHECK(again.get<std::string>("weird.a: b") == "null");
  CHECK(again.get<std::string>("weird.s") == "x\ty\n\"\\ é");
  CHECK(again.child("weird.none").is_null());
  CHECK(again.child("weird.l").is_list());
  CHECK(again.get<std::string>("job.tag", "007") == "007");
  CHECK(again.get<int>("weird.m.1.k.1.z") == 1);
  CHECK_THROWS_AS(c.get<int>("data.workers", 3), InternalError);
}

TEST_CASE("config: floats survive the resolved YAML bit for bit") {
  std::mt19937_64 random(7);
  Config c;
  std::vector<double> values = {0., -0., 1e-5, 5e-324, 1.7976931348623157e308, .1, 1e22, 123456789.};
  while (values.size() < 500) {
    const std::uint64_t bits = random();
    double value;
    std::memcpy(&value, &bits, sizeof value);
    if (std::isfinite(value)) values.push_back(value);
  }
  c.set("v", values);
  c.set("f", .1f);
  Config again = parse(c.to_yaml());
  const auto read = again.get<std::vector<double>>("v");
  REQUIRE(read.size() == values.size());
  CHECK(std::memcmp(read.data(), values.data(), values.size() * sizeof(double)) == 0);
  CHECK(again.get<float>("f") == .1f);
}

TEST_CASE("config: any text survives the resolved YAML, as a value, in a list and as a key") {
  const std::vector<std::string> pieces = {
      " ", "-", ":",  "#", "{", "}",  "[",  "]",    ",",    "&", "*",   "!", "|", ">", "'",  "\"",   "%",   "@",   "`",
      "~", "?", "\\", "=", "<", "\n", "\t", "null", "true", "0", "1e5", ".", "é", "x", "\r", "\x01", "---", "...", "a"};
  std::mt19937_64 random(11);
  for (int round = 0; round < 3000; ++round) {
    std::string text;
    for (std::uint64_t i = 0, length = random() % 6; i < length; ++i) text += pieces[random() % pieces.size()];
    Config c;
    c.set("section.value", text);
    c.set("section.list", std::vector<std::string>{text, "b", text});
    const bool usable_key = !text.empty() && !contains(text, ".") && text != "<<" && text != "true";
    if (usable_key) c.set("keys." + text, 7);
    const std::string yaml = c.to_yaml();
    CAPTURE(yaml);
    Config again = parse(yaml);
    REQUIRE(again.get<std::string>("section.value") == text);
    REQUIRE(again.get<std::vector<std::string>>("section.list")[2] == text);
    if (usable_key) REQUIRE(again.get<int>("keys." + text) == 7);
    REQUIRE(again.to_yaml() == yaml);
  }
}

TEST_CASE("config: a copy shares nothing with its original") {
  Config a = parse("x: 1\nz: 2\n");
  Config b = a;
  b.get<int>("x");
  b.get<int>("z");
  b.set("w", 3);
  b.check_all_read();
  CHECK(!a.has("w"));
  CHECK(contains(error_of([&] { a.check_all_read(); }), "2 unknown keys"));
}

TEST_CASE("config: edit distance counts a swap of neighbours as one") {
  CHECK(edit_distance("steps", "stpes") == 1);
  CHECK(edit_distance("", "abc") == 3);
  CHECK(edit_distance("kitten", "sitting") == 3);
  CHECK(edit_distance("Keep-Last", "keep_last") == 0);
  CHECK(nearest_name("dkdd", {"kd", "dkd", "dist"}) == "dkd");
  CHECK(nearest_name("x", {}).empty());
}
