#include "distill/train/text_evaluate.h"

#include <cmath>
#include <numeric>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/linalg.h"
#include "autograd/ops/losses.h"
#include "autograd/ops/reduce.h"
#include "distill/train/ranks.h"
#include "io/tokenizer.h"
#include "tensor/transfer.h"

namespace retort {

namespace {
const Decoder& decoder_of(const Role& role) {
  const auto* decoder = dynamic_cast<const Decoder*>(role.model.get());
  if (!decoder)
    throw ConfigError("eval: role {} is no language model: {}", role.name,
                      role.model ? role.model->arch() : "a closed form");
  return *decoder;
}

/// Hidden states and output matrix of the role at the tokens of the batch.
Tensors states_of(const Role& role, const Batch& b) {
  decoder_of(role);
  Pass pass;
  pass.training = false;
  const Want apart{.out = false, .taps = {}, .states = true};
  return role.net->eval({b.x, {}, {}, b.index, b.sample}, apart, Grad::None, pass).states;
}

/// Logits [N, V] at the places.
Tensor logits_at(const Role& role, const Batch& b, const TokenPlaces& places) {
  const Tensors states = states_of(role, b);
  const Tensor z = linear(pick_places(states[0], places, {}), states[1]);
  return z.dtype() == DType::f64 ? z : cast(z, DType::f32);
}

/// Summed in f64 on the host.
Tensor total(const Tensor& values) { return sum(cast(on_host(values), DType::f64)); }

/// Rows first .. first + n of a set as they are.
Batch rows_of(const TokenSet& set, std::int64_t first, std::int64_t n, Device device) {
  if (device.kind == DeviceKind::meta) return text_batch_meta(n, TextWidths::of(set), false);
  std::vector<Text> texts;
  std::vector<std::int64_t> index(static_cast<std::size_t>(n));
  std::iota(index.begin(), index.end(), first);
  for (const std::int64_t i : index) texts.push_back({set.row(i).prompt, set.row(i).response, &set.row(i)});
  const Tensor ids = Tensor::of<std::int64_t>(index, {n});
  return text_batch(set, texts, TextWidths::of(set), ids, ids);
}

/// Sums over the tokens of a batch that count, or over all.
struct TextSums {
  double tokens = 0, bytes = 0, right = 0, nats = 0, kl_forward = 0, kl_reverse = 0;

  std::vector<double> numbers() const { return {tokens, bytes, right, nats, kl_forward, kl_reverse}; }
  void add(std::span<const double> n) {
    std::size_t next = 0;
    for (double* sum : {&tokens, &bytes, &right, &nats, &kl_forward, &kl_reverse}) *sum += n[next++];
  }
};

TextSums sums_of(const Role& role, const Role* teacher, const TokenSet& set, const Batch& b) {
  TextSums s;
  const TokenPlaces places = places_of(b);
  if (places.size() == 0) return s;
  const Tensor z = logits_at(role, b, places);
  const Tensor nats = total(cross_entropy(z, to(places.token, z.device())));
  const Tensor right = sum(equal(on_host(argmax(z, 1)), places.token));
  Tensor forward, reverse;
  if (teacher) {
    Tensor t = logits_at(*teacher, b, places);
    if (t.dtype() != z.dtype()) t = cast(t, z.dtype());
    forward = total(kl_forward(z, t));
    reverse = total(kl_reverse(z, t));
  }
  if (b.x.meta()) return s;
  s.tokens = static_cast<double>(places.size());
  for (const std::int64_t token : places.token.values<std::int64_t>())
    s.bytes += static_cast<double>(set.bytes_of(token));
  s.right = right.item();
  s.nats = nats.item();
  if (!teacher) return s;
  s.kl_forward = forward.item();
  s.kl_reverse = reverse.item();
  return s;
}

/// The role's responses to prompts first .. first + n, and the batch that they make.
struct Written {
  std::vector<Text> texts;
  Batch batch;
};

TextWidths widths_of(const TextEvalSpec::Own& own) {
  TextWidths widths = TextWidths::of(*own.set);
  widths.total = own.set->prompt_width() + own.how.max_tokens;
  return widths;
}

Written write(const Role& role, const TextEvalSpec::Own& own, std::int64_t first, std::int64_t n) {
  std::vector<TokenIds> prompts;
  std::vector<std::int64_t> index(static_cast<std::size_t>(n));
  std::iota(index.begin(), index.end(), first);
  for (const std::int64_t i : index) prompts.push_back(own.set->row(i).prompt);
  const auto context = [&role] {
    Ctx ctx;
    ctx.compute = role.compute;
    return ctx;
  };
  const Generated g = generate(decoder_of(role), prompts, own.set->prompt_width(), own.how,
                               Rng(own.seed).stream("eval/own"), index, context, role.compute);
  Written w;
  for (std::size_t i = 0; i < prompts.size(); ++i)
    w.texts.push_back({prompts[i], g.tokens[i], &own.set->row(index[i]), g.log_prob[i], g.weight[i],
                       std::vector<double>(g.tokens[i].size(), 0)});
  const Tensor ids = Tensor::of<std::int64_t>(index, {n});
  w.batch = text_batch(*own.set, w.texts, widths_of(own), ids, ids);
  return w;
}

void judge_own(TextScores& scores, const Role& role, const Role* teacher, const TextEvalSpec& spec, Device device,
               Communicator* ranks) {
  const TextEvalSpec::Own& own = *spec.own;
  const auto teachers_view = [&](const Batch& b) { return total(token_log_prob(states_of(*teacher, b), b, {})); };
  const std::int64_t count = std::min(own.count, own.set->size());
  if (device.kind == DeviceKind::meta) {
    if (teacher) teachers_view(text_batch_meta(std::min(spec.batch, count), widths_of(own), true));
    return;
  }
  const std::int64_t batches = (count + spec.batch - 1) / spec.batch;
  const auto written = [&](std::int64_t i) {
    return write(role, own, i * spec.batch, std::min(spec.batch, count - i * spec.batch));
  };
  const auto show = [&](const Written& w) {
    for (const Text& text : w.texts)
      if (static_cast<std::int64_t>(scores.shown.size()) < own.show)
        scores.shown.push_back({spell(*own.set, text.prompt), spell(*own.set, text.response)});
  };
  const auto judge = [&](std::int64_t i) {
    const Written w = written(i);
    if (!ranks) show(w);
    double tokens = 0, its = 0;
    for (const Text& text : w.texts) {
      tokens += static_cast<double>(text.response.size());
      its = std::accumulate(text.lp_old.begin(), text.lp_old.end(), its);
    }
    return std::vector<double>{tokens, its, teacher ? teachers_view(w.batch).item() : 0};
  };
  double tokens = 0, its = 0, teachers = 0;
  in_turn(ranks, batches, judge, [&](std::int64_t, std::span<const double> of_batch) {
    tokens += of_batch[0];
    its += of_batch[1];
    teachers += of_batch[2];
  });
  if (ranks && ranks->rank() == 0)  // again, as others may have written them
    for (std::int64_t i = 0; i * spec.batch < std::min(own.show, count); ++i) show(written(i));
  scores.own_log_prob = its / tokens;
  if (teacher) scores.teacher_log_prob = teachers / tokens;
}

const std::shared_ptr<const TokenSet>& texts_named(Config& node, const TokenSets& sets) {
  return lookup(sets, Call{node.as<std::string>(), {}, node.where()}, "set of texts");
}
}  // namespace

TextEvalSpec parse_text_eval(Config& eval, const TokenSets& sets, const Roles& roles) {
  TextEvalSpec spec;
  spec.set = texts_named(eval.child("set"), sets);
  spec.batch = eval.get_int("batch", spec.batch, {.min = 1});
  if (eval.has("teacher")) {
    spec.teacher = eval.get<std::string>("teacher");
    decoder_of(lookup(roles, Call{spec.teacher, {}, eval.child("teacher").where()}, "role"));
  }
  if (!eval.has("prompts")) return spec;
  Config& c = eval.child("prompts");
  TextEvalSpec::Own own;
  own.set = texts_named(c.child("set"), sets);
  own.count = c.get_int("count", own.count, {.min = 1});
  own.show = c.get_int("show", own.show, {.min = 0});
  own.seed = c.get("seed", own.seed);
  own.how.max_tokens = c.get_int("max_tokens", own.set->width() - own.set->prompt_width(), {.min = 1});
  own.how.end = own.set->end();
  own.how.sampling.temperature = c.get_real("temperature", 1.0, {.min = 0});
  own.how.sampling.top_k = c.get_int("top_k", 0, {.min = 0});
  own.how.sampling.top_p = c.get_real("top_p", 1.0, {.max = 1, .above = 0});
  spec.own = std::move(own);
  return spec;
}

Evaluation evaluate_texts(const Role& role, const TextEvalSpec& spec, const Roles& roles, Device device,
                          Communicator* ranks) {
  const Role* teacher = spec.teacher.empty() ? nullptr : &roles.at(spec.teacher);
  const bool meta = device.kind == DeviceKind::meta;
  TextSums sums;
  const auto judge = [&](std::int64_t i) {
    const std::int64_t first = i * spec.batch;
    const Batch b = rows_of(*spec.set, first, std::min(spec.batch, spec.set->size() - first), device);
    return sums_of(role, teacher, *spec.set, b).numbers();
  };
  in_turn(ranks, meta ? 1 : (spec.set->size() + spec.batch - 1) / spec.batch, judge,
          [&](std::int64_t, std::span<const double> of_batch) { sums.add(of_batch); });
  Evaluation e;
  e.text.emplace();
  if (spec.own) judge_own(*e.text, role, teacher, spec, device, ranks);
  if (meta) return e;
  const double tokens = sums.tokens;
  e.samples = static_cast<std::int64_t>(tokens);
  e.top1 = sums.right / tokens;
  e.cross_entropy = sums.nats / tokens;
  if (sums.bytes > 0) e.text->bits_per_byte = sums.nats / (std::log(2.0) * sums.bytes);
  if (teacher) {
    e.text->kl_forward = sums.kl_forward / tokens;
    e.text->kl_reverse = sums.kl_reverse / tokens;
  }
  return e;
}

namespace {
std::string hex(char byte) { return fmt::format("\\x{:02x}", static_cast<unsigned char>(byte)); }

/// Tokens of the tokenizer as its text; ids beyond it, rows of a table that mean nothing, as numbers.
std::string spell_text(const Tokenizer& tokenizer, const TokenIds& tokens) {
  std::string text, shown;
  TokenIds known;
  const auto close = [&] {
    text += tokenizer.decode(known, false);
    known.clear();
  };
  for (const std::int64_t token : tokens) {
    if (tokenizer.token(token)) {
      known.push_back(token);
      continue;
    }
    close();
    text += fmt::format("<{}>", token);
  }
  close();
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    shown += (byte < 32 && c != '\n' && c != '\t') || byte == 127 ? hex(c) : std::string(1, c);
  }
  return shown;
}
}  // namespace

std::string spell(const TokenSet& set, const TokenIds& tokens) {
  if (set.tokenizer() != nullptr) return spell_text(*set.tokenizer(), tokens);
  std::string text;
  for (const std::int64_t token : tokens) {
    const bool printed = token == '\n' || token == '\t' || (token >= ' ' && token < 127);
    if (set.bytes() == 0)
      text += fmt::format("{}{}", text.empty() ? "" : " ", token);
    else if (token >= set.bytes())
      text += "<>";
    else
      text += printed ? std::string(1, static_cast<char>(token)) : hex(static_cast<char>(token));
  }
  return text;
}

std::string text_summary(const Evaluation& e) {
  const TextScores& t = *e.text;
  std::string s = std::isnan(t.bits_per_byte) ? "" : fmt::format("bits per byte {:.4f}, ", t.bits_per_byte);
  s += fmt::format("perplexity {:.4f}, cross-entropy {:.4f}", std::exp(e.cross_entropy), e.cross_entropy);
  if (t.kl_forward)
    s += fmt::format(", KL(teacher || it) {:.4f}, KL(it || teacher) {:.4f}", *t.kl_forward, *t.kl_reverse);
  if (t.own_log_prob) s += fmt::format(", log p of its own samples {:.4f}", *t.own_log_prob);
  if (t.teacher_log_prob) s += fmt::format(", the teacher's {:.4f}", *t.teacher_log_prob);
  return s + fmt::format(" ({} tokens)", e.samples);
}

void add_text_scores(ReportData& data, const std::string& words, const std::string& note, const Evaluation& e) {
  const TextScores& t = *e.text;
  const bool bytes = !std::isnan(t.bits_per_byte);
  data.numbers.push_back({words, fmt::format("{:.3f}", bytes ? t.bits_per_byte : e.cross_entropy),
                          bytes ? "bits per byte" : "nats a token", note});
  ReportTable scores{"Held-out text: " + words, {}, ""};
  const auto add = [&](const char* name, const std::optional<double>& value) {
    if (value) scores.rows.emplace_back(name, fmt::format("{:.4f}", *value));
  };
  scores.rows.emplace_back("tokens", fmt::format("{}", e.samples));
  add("cross-entropy, nats a token", e.cross_entropy);
  add("perplexity", std::exp(e.cross_entropy));
  if (bytes) add("bits per byte", t.bits_per_byte);
  add("share of tokens that are the likeliest", e.top1);
  add("KL(teacher || it), nats a token", t.kl_forward);
  add("KL(it || teacher), nats a token", t.kl_reverse);
  add("own samples: its log-probability a token", t.own_log_prob);
  add("own samples: the teacher's log-probability a token", t.teacher_log_prob);
  scores.open = true;
  data.tables.push_back(scores);
  if (t.shown.empty()) return;
  ReportTable written{"Continuations: " + words, {}, "", true};
  for (const Continuation& c : t.shown) written.text += fmt::format("{}│{}\n\n", c.prompt, c.text);
  data.tables.push_back(written);
}

}  // namespace retort
