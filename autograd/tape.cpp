#include "autograd/tape.h"

#include <algorithm>
#include <unordered_set>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/reduce.h"

namespace retort {

/// The flat record. A slot is one value on the tape (a leaf or an op's output); nodes are in order of execution, so the
/// walk is one pass from the end, and freeing is one pass over arrays, whatever the graph's depth.
class TapeLevel final : public Level {
 public:
  struct Saved {
    Tensor value;
    std::uint32_t version = 0;  ///< of the value's storage when it was saved
  };
  struct Node {
    const Op* op;  ///< null for a leaf
    AttrBox attrs;
    std::int32_t first_edge, first_slot;
    std::int32_t first_saved;  ///< -1: nothing was saved
    std::int32_t inputs;       ///< for a leaf: its number
    std::int32_t outputs;
    bool released = false;
  };
  struct SlotLift final : LevelLift {
    std::int32_t slot;
  };

  TapeLevel() { push(); }
  void end() {
    pop();
    nodes_.clear();
    edges_.clear();
    saved_.clear();
  }

  void apply(const Op& op, std::span<const Tensor> in, const AttrBox& attrs, std::span<Tensor> out) override;
  Tensor watch(const Tensor& value);
  void backward(std::span<const Tensor> outputs, std::span<const Tensor> cotangents, GradSink& sink, Record record);
  int leaf_of(const Tensor& t) const {
    if (!lifted_to(t, *this)) return -1;
    const Node& node = nodes_[static_cast<std::size_t>(slot_node_[static_cast<std::size_t>(slot_of(t))])];
    return node.op ? -1 : node.inputs;
  }
  int leaves() const { return leaves_; }
  std::int64_t size() const { return static_cast<std::int64_t>(nodes_.size()) - leaves_; }
  std::int64_t saved_bytes() const;

 private:
  static std::int32_t slot_of(const Tensor& t) { return static_cast<const SlotLift*>(lift_of(t))->slot; }
  Tensor lift(const Tensor& value, std::int32_t slot) {
    Ref<SlotLift> l(new SlotLift);
    l->level = Ref<Level>(this);
    l->below = value;
    l->slot = slot;
    return with_lift(value, Ref<LevelLift>(l.get()));
  }
  void save(const Tensor& value) {
    if (value.defined() && value.storage())
      saved_.push_back({value, value.storage()->version()});
    else
      saved_.push_back({value, 0});
  }
  void check_unwritten(const Node& node, const Saved& s) const {
    if (s.value.defined() && s.value.storage() && s.value.storage()->version() != s.version)
      throw AutogradError(
          "{}: the value {} saved for its gradient was overwritten by {}; hint: run backward first, "
          "or copy the value",
          node.op->name, s.value.str(), s.value.storage()->writer());
  }
  void record(const Op& op, std::span<const Tensor> in, std::span<const Tensor> primals,
              std::span<const Tensor> results, const AttrBox& attrs, std::span<Tensor> out);
  struct Plan;
  Plan plan(std::span<const Tensor> outputs) const;
  void pull(Node& node, std::vector<Tensor>& cot, GradSink& sink, Record record);
  void give(std::int32_t slot, const Tensor& grad, std::vector<Tensor>& cot, GradSink& sink);

  std::vector<Node> nodes_;
  std::vector<std::int32_t> edges_;      ///< input slots of the nodes; -1 for inputs that are not on the tape
  std::vector<Saved> saved_;             ///< per recorded node: inputs, then outputs
  std::vector<std::int32_t> slot_node_;  ///< slot -> node
  int leaves_ = 0;
};

Tensor TapeLevel::watch(const Tensor& value) {
  if (!is_float(value.dtype())) throw DTypeError("watch: only float tensors have gradients; got {}", value.str());
  const auto slot = static_cast<std::int32_t>(slot_node_.size());
  slot_node_.push_back(static_cast<std::int32_t>(nodes_.size()));
  nodes_.push_back({nullptr, {}, 0, slot, 0, leaves_++, 1});
  return lift(value, slot);
}

void TapeLevel::apply(const Op& op, std::span<const Tensor> in, const AttrBox& attrs, std::span<Tensor> out) {
  constexpr std::size_t kInline = 8;
  Tensor inline_primals[kInline];
  Tensors heap_primals;
  if (in.size() > kInline) heap_primals.resize(in.size());
  const std::span<Tensor> primals =
      in.size() > kInline ? std::span(heap_primals) : std::span(inline_primals, in.size());
  for (std::size_t i = 0; i < in.size(); ++i) primals[i] = below(in[i], *this);
  Tensor inline_results[kInline];
  Tensors heap_results;
  if (out.size() > kInline) heap_results.resize(out.size());
  const std::span<Tensor> results =
      out.size() > kInline ? std::span(heap_results) : std::span(inline_results, out.size());
  retort::apply(op, primals, attrs, results);
  if (op.kind == Kind::none) {
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = std::move(results[i]);
    return;
  }
  if (!op.vjp) throw AutogradError("{}: has no reverse rule, so its result cannot be tracked", op.name);
  record(op, in, primals, results, attrs, out);
}

void TapeLevel::record(const Op& op, std::span<const Tensor> in, std::span<const Tensor> primals,
                       std::span<const Tensor> results, const AttrBox& attrs, std::span<Tensor> out) {
  Node node{&op,
            attrs,
            static_cast<std::int32_t>(edges_.size()),
            static_cast<std::int32_t>(slot_node_.size()),
            static_cast<std::int32_t>(saved_.size()),
            static_cast<std::int32_t>(in.size()),
            static_cast<std::int32_t>(out.size())};
  std::uint32_t tracked_mask = 0;
  for (std::size_t i = 0; i < in.size(); ++i) {
    const bool on_tape = lifted_to(in[i], *this);
    edges_.push_back(on_tape ? slot_of(in[i]) : -1);
    if (on_tape) tracked_mask |= 1u << std::min<std::size_t>(i, 31);
  }
  const Saves saves = op.saves ? op.saves(tracked_mask, attrs) : Saves{};
  for (std::size_t i = 0; i < in.size(); ++i) {
    const std::uint32_t bit = 1u << std::min<std::size_t>(i, 31);
    if (saves.in & bit)
      save(primals[i]);
    else if ((saves.ghosts & bit) || (op.broadcasts && !(primals[i].shape() == results[0].shape())))
      save(primals[i].defined() ? primals[i].ghost() : Tensor());
    else
      save({});
  }
  const int outputs = static_cast<int>(out.size()), visible = outputs - op.auxiliaries;
  for (int i = 0; i < outputs; ++i) {
    const auto at = static_cast<std::size_t>(i);
    if ((saves.out >> std::min(i, 31) & 1u) || i >= visible)
      save(results[at]);
    else
      save(visible > 1 && results[at].defined() ? results[at].ghost() : Tensor());
    slot_node_.push_back(static_cast<std::int32_t>(nodes_.size()));
    const bool differentiable = i < visible && results[at].defined() && is_float(results[at].dtype());
    out[at] = differentiable ? lift(results[at], node.first_slot + i) : results[at];
  }
  const auto first = saved_.begin() + node.first_saved;
  if (std::none_of(first, saved_.end(), [](const Saved& s) { return s.value.defined(); })) {
    saved_.erase(first, saved_.end());
    node.first_saved = -1;
  }
  nodes_.push_back(std::move(node));
}

std::int64_t TapeLevel::saved_bytes() const {
  std::unordered_set<const Storage*> seen;
  std::int64_t bytes = 0;
  for (const Saved& s : saved_) {
    const Tensor value = s.value.defined() ? stop_gradient(s.value) : Tensor();
    if (value.defined() && value.storage() && seen.insert(value.storage().get()).second)
      bytes += value.storage()->bytes();
  }
  return bytes;
}

/// What the walk will reach: per node whether it takes part, per leaf which node is its last consumer.
struct TapeLevel::Plan {
  std::vector<bool> reached;
  std::vector<std::vector<int>> done_after;  ///< node -> leaves that are final once it was pulled
  std::vector<int> order;                    ///< leaves in the order in which they become final
  std::vector<int> direct;                   ///< leaves that are outputs themselves and feed no reached node
};

TapeLevel::Plan TapeLevel::plan(std::span<const Tensor> outputs) const {
  Plan p;
  p.reached.assign(nodes_.size(), false);
  std::vector<std::int32_t> last_consumer(static_cast<std::size_t>(leaves_), -1);
  std::vector<std::int32_t> leaf_reached;
  for (const Tensor& t : outputs)
    if (lifted_to(t, *this))
      p.reached[static_cast<std::size_t>(slot_node_[static_cast<std::size_t>(slot_of(t))])] = true;
  for (std::size_t n = nodes_.size(); n-- > 0;) {
    const Node& node = nodes_[n];
    if (!p.reached[n]) continue;
    if (!node.op) {
      leaf_reached.push_back(node.inputs);
      continue;
    }
    for (std::int32_t i = 0; i < node.inputs; ++i) {
      const std::int32_t slot = edges_[static_cast<std::size_t>(node.first_edge + i)];
      if (slot < 0) continue;
      const auto from = static_cast<std::size_t>(slot_node_[static_cast<std::size_t>(slot)]);
      p.reached[from] = true;
      // The walk runs from the end, so the consumer seen last here is the last one to be pulled.
      if (!nodes_[from].op) last_consumer[static_cast<std::size_t>(nodes_[from].inputs)] = static_cast<std::int32_t>(n);
    }
  }
  p.done_after.resize(nodes_.size());
  for (const std::int32_t leaf : leaf_reached) {
    const std::int32_t last = last_consumer[static_cast<std::size_t>(leaf)];
    if (last < 0)
      p.direct.push_back(leaf);
    else
      p.done_after[static_cast<std::size_t>(last)].push_back(leaf);
  }
  p.order = p.direct;
  for (std::size_t n = nodes_.size(); n-- > 0;)
    p.order.insert(p.order.end(), p.done_after[n].begin(), p.done_after[n].end());
  return p;
}

void TapeLevel::give(std::int32_t slot, const Tensor& grad, std::vector<Tensor>& cot, GradSink& sink) {
  const Node& from = nodes_[static_cast<std::size_t>(slot_node_[static_cast<std::size_t>(slot)])];
  if (!from.op) return sink.add(from.inputs, grad);
  Tensor& sum = cot[static_cast<std::size_t>(slot)];
  sum = sum.defined() ? add(sum, grad) : grad;
}

void TapeLevel::backward(std::span<const Tensor> outputs, std::span<const Tensor> cotangents, GradSink& sink,
                         Record record) {
  const Plan p = plan(outputs);
  sink.begin(p.order);
  std::vector<Tensor> cot(slot_node_.size());
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    if (!lifted_to(outputs[i], *this) || !cotangents[i].defined()) continue;
    if (!(cotangents[i].shape() == outputs[i].shape()))
      throw ShapeError("backward: cotangent {} does not fit output {}", cotangents[i].str(), outputs[i].str());
    give(slot_of(outputs[i]), cotangents[i], cot, sink);
  }
  for (const int leaf : p.direct) sink.done(leaf);
  for (std::size_t n = nodes_.size(); n-- > 0;) {
    Node& node = nodes_[n];
    if (!node.op) continue;
    if (p.reached[n]) pull(node, cot, sink, record);
    if (record == Record::release && !node.released) {
      node.released = true;
      node.attrs = {};
      for (std::int32_t i = 0; node.first_saved >= 0 && i < node.inputs + node.outputs; ++i)
        saved_[static_cast<std::size_t>(node.first_saved + i)] = {};
    }
    for (const int leaf : p.done_after[n]) sink.done(leaf);
  }
}

void TapeLevel::pull(Node& node, std::vector<Tensor>& cot, GradSink& sink, Record record) {
  if (node.released)
    throw AutogradError("backward: the record of {} was released by an earlier walk; hint: Record::keep",
                        node.op->name);
  const auto n_in = static_cast<std::size_t>(node.inputs), n_out = static_cast<std::size_t>(node.outputs);
  Tensors values(n_in + n_out), cotangents(n_out), grads(n_in);
  const std::unique_ptr<bool[]> wants(new bool[n_in]);
  bool any = false;
  for (std::size_t i = 0; i < n_out; ++i) {
    Tensor& c = cot[static_cast<std::size_t>(node.first_slot) + i];
    any = any || c.defined();
    cotangents[i] = std::move(c);
    c = {};
  }
  if (!any) return;
  for (std::size_t i = 0; node.first_saved >= 0 && i < values.size(); ++i) {
    Saved& s = saved_[static_cast<std::size_t>(node.first_saved) + i];
    check_unwritten(node, s);
    values[i] = record == Record::release ? std::move(s.value) : s.value;
  }
  const int visible = node.outputs - node.op->auxiliaries;
  for (int i = 0; i < visible; ++i) {
    const Tensor& like = values[n_in + static_cast<std::size_t>(i)];
    Tensor& c = cotangents[static_cast<std::size_t>(i)];
    if (!c.defined() && like.defined() && is_float(like.dtype()))
      c = Tensor::zeros(like.shape(), like.dtype(), like.device());
  }
  for (std::size_t i = 0; i < n_in; ++i) wants[i] = edges_[static_cast<std::size_t>(node.first_edge) + i] >= 0;
  const std::span<const Tensor> all(values);
  VjpCall call{node.op->name, node.attrs, all.first(n_in), all.subspan(n_in), cotangents, {wants.get(), n_in}, grads};
  node.op->vjp(call);
  for (std::size_t i = 0; i < n_in; ++i) {
    if (!wants[i] || !grads[i].defined()) continue;
    if (node.op->broadcasts && values[i].defined() && !(grads[i].shape() == values[i].shape()))
      grads[i] = sum_to(grads[i], values[i].shape());
    give(edges_[static_cast<std::size_t>(node.first_edge) + i], grads[i], cot, sink);
    grads[i] = {};
  }
}

void GradMap::add(int leaf, const Tensor& contribution) {
  const auto at = static_cast<std::size_t>(leaf);
  if (by_leaf_.size() <= at) by_leaf_.resize(at + 1);
  Tensor& sum = by_leaf_[at];
  sum = sum.defined() ? retort::add(sum, contribution) : contribution;
}

Tensor GradMap::operator[](int leaf) const {
  const auto at = static_cast<std::size_t>(leaf);
  return leaf >= 0 && at < by_leaf_.size() ? by_leaf_[at] : Tensor();
}

Tape::Tape() : level_(new TapeLevel) {}
Tape::~Tape() { level_->end(); }
Tensor Tape::watch(const Tensor& value) { return level_->watch(value); }
int Tape::leaves() const { return level_->leaves(); }
int Tape::leaf_of(const Tensor& t) const { return level_->leaf_of(t); }
std::int64_t Tape::size() const { return level_->size(); }
std::int64_t Tape::saved_bytes() const { return level_->saved_bytes(); }

void Tape::backward(std::span<const Tensor> outputs, std::span<const Tensor> cotangents, GradSink& sink,
                    Record record) {
  if (outputs.size() != cotangents.size())
    throw AutogradError("backward: {} outputs but {} cotangents", outputs.size(), cotangents.size());
  level_->backward(outputs, cotangents, sink, record);
}

Tensors Tape::gradients(const Tensor& scalar, std::span<const Tensor> leaves, Record record) {
  if (scalar.numel() != 1) throw ShapeError("gradients: expected a scalar; got {}", scalar.str());
  GradMap grads;
  const Tensor one = Tensor::full(scalar.shape(), 1.0, scalar.dtype(), scalar.device());
  backward(std::span(&scalar, 1), std::span(&one, 1), grads, record);
  Tensors result;
  for (const Tensor& leaf : leaves) {
    const int number = leaf_of(leaf);
    if (number < 0) throw AutogradError("gradients: {} was not returned by watch of this tape", leaf.str());
    const Tensor g = grads[number];
    result.push_back(g.defined() ? g : Tensor::zeros(leaf.shape(), leaf.dtype(), leaf.device()));
  }
  return result;
}

}  // namespace retort
