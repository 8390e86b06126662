#include "distill/train/top_k_table.h"

#include <cstring>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/nn.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/sort.h"
#include "distill/text/token_batch.h"
#include "distill/train/state.h"
#include "io/checkpoint.h"
#include "io/crc32c.h"
#include "tensor/transfer.h"
#include "tensor/write.h"

namespace retort {

namespace fs = std::filesystem;

namespace {
/// Of the vocabulary and of every token of every row.
std::uint32_t hash_of(const TokenSet& set) {
  std::uint32_t hash = 0;
  const auto add = [&hash](const TokenIds& ids) { hash = crc32c(std::as_bytes(std::span(ids)), hash); };
  add({set.vocab(), set.end(), set.size()});
  for (std::int64_t i = 0; i < set.size(); ++i) {
    add(set.row(i).prompt);
    add(set.row(i).response);
  }
  return hash;
}

struct Marks {
  std::string teacher, texts;
  std::int64_t k;
};
Marks marks_of(const TopKSpec& spec, Setup& setup) {
  return {fmt::format("{:08x}", fingerprint(setup.roles.at(spec.role))),
          fmt::format("{:08x}", hash_of(*setup.sources.at(spec.source)->texts())), spec.k};
}

void save(const fs::path& file, const Marks& marks, const Tensor& of) {
  const Tensor table = to(of, kCpu);
  fs::create_directories(file.parent_path());
  CheckpointWriter writer(file);
  writer.attribute("teacher", marks.teacher);
  writer.attribute("texts", marks.texts);
  writer.attribute("k", marks.k);
  writer.add("top_k", table.dtype(), table.shape(),
             {table.raw(), static_cast<std::size_t>(table.numel() * size_of(table.dtype()))});
  writer.commit();
}

/// Why the file does not fit; empty: it does, and `table` was filled.
std::string load(const fs::path& file, const Marks& marks, const Tensor& table) {
  const CheckpointReader reader(file);
  const auto says = [&](const char* name, const AttributeValue& value) {
    const auto saved = reader.attribute(name);
    return saved && *saved == value;
  };
  if (!says("texts", AttributeValue(marks.texts))) return "was captured from other texts";
  if (!says("teacher", AttributeValue(marks.teacher))) return "was captured from another teacher";
  if (!says("k", AttributeValue(marks.k))) return fmt::format("does not keep {} outcomes", marks.k);
  const TensorEntry* entry = reader.find("top_k");
  if (!entry || !(entry->shape == table.shape())) return "does not hold such a table";
  const Tensor saved = Tensor::empty(entry->shape, entry->dtype);
  const auto bytes = reader.bytes("top_k");
  std::memcpy(saved.raw(), bytes.data(), bytes.size());
  assign_(table, to(cast(saved, table.dtype()), table.device()), "top_k");
  return "";
}

/// The role's answers to rows first .. first + n of the set, into the table.
void compute(const TopKSpec& spec, const Setup& setup, const Tensor& table) {
  constexpr std::int64_t kRows = 32;
  const Source& source = *setup.sources.at(spec.source);
  const Role& role = setup.roles.at(spec.role);
  const TokenSet& set = *source.texts();
  Pass pass;
  pass.training = false;
  for (std::int64_t first = 0; first < set.size(); first += kRows) {
    const std::int64_t n = std::min(kRows, set.size() - first);
    std::vector<Text> texts;
    std::vector<std::int64_t> ids;
    for (std::int64_t i = first; i < first + n; ++i) {
      texts.push_back({set.row(i).prompt, set.row(i).response, &set.row(i)});
      ids.push_back(i);
    }
    const Tensor index = Tensor::of<std::int64_t>(ids, {n});
    const Batch b = text_batch(set, texts, TextWidths::of(set), index, index);
    const Tensor z = stop_gradient(role.net->eval({b.x, {}, {}, b.index, b.sample}, {}, Grad::None, pass).out);
    const Sorted top = top_k(log_softmax(cast(z, table.dtype())), spec.k, 2);
    const Tensor rows = concat(Tensors{cast(top.indices, table.dtype()), top.values}, 2);
    assign_(slice(table, 0, first, first + n), rows, "top_k");
  }
}
}  // namespace

TopKSpec parse_top_k(Config& node, const Setup& setup) {
  TopKSpec spec;
  spec.store = node.key();
  spec.role = node.get<std::string>("of");
  spec.source = node.get<std::string>("source");
  spec.k = node.get_int("k", {.min = 1});
  spec.file = node.get("file", "");
  const Role& role = lookup(setup.roles, Call{spec.role, {}, node.child("of").where()}, "role");
  const Source& source = *lookup(setup.sources, Call{spec.source, {}, node.child("source").where()}, "source");
  if (!source.texts() || source.group() != source.texts()->group())
    node.child("source").fail("a store of likeliest tokens is indexed by the rows of a set of texts");
  if (role.answer.empty() && spec.k >= source.texts()->vocab())
    node.child("k").fail(fmt::format("the vocabulary has {} tokens", source.texts()->vocab()));
  return spec;
}

std::unique_ptr<Store> make_top_k_store(const TopKSpec& spec, const Setup& setup, DType dtype) {
  const TokenSet& set = *setup.sources.at(spec.source)->texts();
  const Shape shape{set.size(), set.width(), 2 * spec.k};
  return std::make_unique<Store>("store " + spec.store, Tensor::zeros(shape, dtype, setup.device), StoreOptions{});
}

fs::path top_k_file(const TopKSpec& spec, const fs::path& folder) { return folder / "tables" / (spec.store + ".h5"); }

void fill_top_k(const TopKSpec& spec, Setup& setup, const fs::path& folder) {
  const Tensor& table = setup.stores.at(spec.store)->table();
  if (table.meta()) return;
  const Marks marks = marks_of(spec, setup);
  if (!spec.file.empty()) {
    const std::string why = load(spec.file, marks, table);
    if (!why.empty()) throw IoError("{}: {}; hint: retort capture", spec.file.string(), why);
    return;
  }
  const fs::path file = top_k_file(spec, folder);
  if (fs::exists(file) && load(file, marks, table).empty()) return;
  compute(spec, setup, table);
  save(file, marks, table);
}

}  // namespace retort
