// distill/train/tables.cpp -- what is worked out from fixed roles before the first step: tables of answers, means of
// classes.
#include "autograd/ops/arithmetic.h"
#include "distill/data/sequential.h"
#include "distill/train/job.h"
#include "distill/train/state.h"
#include "io/checkpoint.h"
#include "tensor/transfer.h"
#include "tensor/write.h"

namespace retort {

namespace fs = std::filesystem;

namespace {
/// Rows of a table that is read by the ids of a set: the largest id and one.
std::int64_t rows_by_id(const Dataset& set) {
  std::int64_t rows = 0;
  for (std::int64_t i = 0; i < set.size(); ++i) rows = std::max(rows, set.id(i) + 1);
  return rows;
}

/// Answers of `role` to every image of the set, by data id, on the host: [largest id + 1, classes].
Tensor compute_table(const Role& role, const EvalData& data, Device device) {
  const std::int64_t rows = rows_by_id(*data.set);
  SequentialBatches batches(data.set, data.batch, data.dtype);
  const bool meta = device.kind == DeviceKind::meta;
  Pass pass;
  pass.training = false;
  Tensor table;
  for (std::int64_t k = 0; k < batches.size(); ++k) {
    const DataBatch b = meta ? batches.meta_batch(std::min(data.batch, data.set->size())) : batches.at(k);
    const Tensor out =
        stop_gradient(role.net->eval({to(b.x, device), {}, {}, b.index, b.sample}, {}, Grad::None, pass).out);
    const Tensor answers = on_host(out.dtype() == DType::f64 ? out : cast(out, DType::f32));
    if (!table.defined()) table = Tensor::zeros({rows, answers.shape()[1]}, answers.dtype(), meta ? device : kCpu);
    if (meta) return table;
    const auto ids = b.index.values<std::int64_t>();
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const auto row = [](const Tensor& t, std::int64_t r) {
        return t.view({{t.shape()[1]}, {t.strides()[1]}, t.layout().offset + r * t.strides()[0]});
      };
      assign_(row(table, ids[i]), row(answers, static_cast<std::int64_t>(i)), "table of answers");
    }
  }
  return table;
}

/// A table written by an earlier start of this run for the same role; undefined when there is none.
Tensor load_table(const fs::path& file, const std::string& fingerprint) {
  if (!fs::exists(file)) return {};
  const CheckpointReader reader(file);
  const auto saved = reader.attribute("fingerprint");
  const TensorEntry* entry = reader.find("answers");
  if (!entry || !saved || !(*saved == AttributeValue(fingerprint))) return {};
  const Tensor table = Tensor::empty(entry->shape, entry->dtype);
  const auto bytes = reader.bytes("answers");
  std::memcpy(table.raw(), bytes.data(), bytes.size());
  return table;
}

void save_table(const fs::path& file, const std::string& fingerprint, const Tensor& table) {
  fs::create_directories(file.parent_path());
  CheckpointWriter writer(file);
  writer.attribute("fingerprint", fingerprint);
  writer.add("answers", table.dtype(), table.shape(),
             {table.raw(), static_cast<std::size_t>(table.numel() * size_of(table.dtype()))});
  writer.commit();
}
}  // namespace

void fill_tables(Job& job, const fs::path& folder) {
  for (const ClassMean& m : job.class_means)
    fill_class_mean(*job.setup.stores.at(m.store), job.setup.roles.at(m.of.role), m.of,
                    job.setup.sources.at(m.source)->set(), job.eval.data.batch, job.eval.data.dtype);
  for (const TopKSpec& spec : job.top_k) fill_top_k(spec, job.setup, folder);
  std::map<std::string, std::shared_ptr<const Dataset>> set_of;
  for (const TableSpec& t : job.tables) {
    const auto set = job.setup.sources.at(t.source)->set();
    if (!set) throw ConfigError("role {}: mode: cached needs a data set; source {} has none", t.role, t.source);
    const auto [it, added] = set_of.emplace(t.role, set);
    if (!added && it->second != set)
      throw ConfigError("role {}: mode: cached serves one data set, but its sources draw from two", t.role);
  }
  for (const auto& [name, set] : set_of) {
    Role& role = job.setup.roles.at(name);
    const bool meta = job.setup.device.kind == DeviceKind::meta;
    const fs::path file = folder / "tables" / (name + ".h5");
    const std::string print = meta ? "" : fmt::format("{:08x}", fingerprint(role));
    Tensor table = meta ? Tensor() : load_table(file, print);
    if (!table.defined()) {
      table = compute_table(role, {set, job.eval.data.batch, job.eval.data.dtype}, job.setup.device);
      if (!meta) save_table(file, print, table);
    }
    role.net = table_net(to(table, job.setup.device));
  }
}

void drop_tables(Job& job) {
  for (const TableSpec& t : job.tables) {
    Role& role = job.setup.roles.at(t.role);
    role.net = model_net(role);
  }
}

}  // namespace retort
