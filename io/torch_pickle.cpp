// io/torch_pickle.cpp -- a walk over inert values that knows how torch writes tensors and storages.
#include "io/torch_pickle.h"

#include <algorithm>
#include <array>

#include "tensor/error.h"

namespace retort {
namespace {

constexpr int kDeepestNesting = 200, kDeepestScalar = 2, kDeepestWrapping = 8;
constexpr std::size_t kLongestName = 4096;

/// Element types by the name of their storage class and of their torch.dtype.
struct TorchType {
  std::string_view storage, name;
  std::int64_t bytes;
  std::optional<DType> dtype;
};
constexpr std::array<TorchType, 14> kTorchTypes = {{
    {"DoubleStorage", "float64", 8, DType::f64},
    {"FloatStorage", "float32", 4, DType::f32},
    {"HalfStorage", "float16", 2, DType::f16},
    {"BFloat16Storage", "bfloat16", 2, DType::bf16},
    {"LongStorage", "int64", 8, DType::i64},
    {"IntStorage", "int32", 4, DType::i32},
    {"ShortStorage", "int16", 2, {}},
    {"CharStorage", "int8", 1, {}},
    {"ByteStorage", "uint8", 1, DType::u8},
    {"BoolStorage", "bool", 1, DType::boolean},
    {"ComplexDoubleStorage", "complex128", 16, {}},
    {"ComplexFloatStorage", "complex64", 8, {}},
    {"QInt8Storage", "qint8", 1, {}},
    // Bytes of any type: the tensor says which.
    {"UntypedStorage", "untyped", 1, {}},
}};

const TorchType* find_type(std::string_view TorchType::*field, std::string_view name) {
  const auto found =
      std::find_if(kTorchTypes.begin(), kTorchTypes.end(), [&](const TorchType& t) { return t.*field == name; });
  return found == kTorchTypes.end() ? nullptr : &*found;
}

class TorchWalk {
 public:
  TorchWalk(const Pickle& pickle, const std::string& where)
      : pickle_(pickle),
        where_(where),
        entered_(pickle.values.size(), false),
        names_left_(64 * pickle.size + (1u << 20)) {}

  TorchListing run() {
    // All of them: a file in the old format holds storages of tensors that cannot be read, too.
    for (const PickleValue& value : pickle_.values)
      if (const auto* reference = std::get_if<PicklePersistent>(&value)) note_storage(*reference);
    visit(pickle_.root, "", 0);
    return std::move(listing_);
  }

 private:
  [[noreturn]] void refuse(const std::string& path, std::string_view why) const {
    throw IoError("{}: pickle: at \"{}\": {}", where_, path.substr(0, 200), why);
  }

  /// A name costs its length: paths through shared keys could otherwise outgrow the file.
  std::string join(const std::string& path, std::string_view part) {
    const std::size_t size = path.size() + part.size() + 1;
    if (size > kLongestName) refuse(path, "a name too long");
    if (size > names_left_) refuse(path, "names out of proportion to the pickle");
    names_left_ -= size;
    return path.empty() ? std::string(part) : fmt::format("{}.{}", path, part);
  }

  std::string key_text(PickleId id, std::size_t index) const {
    if (const auto* text = pickle_.as<PickleText>(id)) return std::string(text->text.substr(0, kLongestName + 1));
    if (const auto* number = pickle_.as<std::int64_t>(id)) return fmt::format("{}", *number);
    return fmt::format("#{}", index);  // a tuple, an object: named by its place
  }

  // ---- The walk. ----

  void visit(PickleId id, const std::string& path, int depth) {
    if (depth > kDeepestNesting) refuse(path, "nested too deep");
    const PickleValue& value = pickle_[id];
    if (const auto* object = std::get_if<PickleObject>(&value)) return visit_object(id, *object, path, depth);
    if (std::holds_alternative<PicklePersistent>(value)) return note_unreadable(path, "a storage without a tensor");
    if (const auto* list = std::get_if<PickleList>(&value)) {
      if (enter(id)) visit_elements(list->items, path, depth);
    } else if (const auto* dict = std::get_if<PickleDict>(&value)) {
      if (enter(id)) visit_items(dict->items, path, depth);
    } else if (depth > 0 && depth <= kDeepestScalar) {
      note_scalar(value, path);
    }
  }

  bool enter(PickleId id) {
    if (entered_[id]) return false;
    return entered_[id] = true;
  }

  void visit_elements(const std::vector<PickleId>& elements, const std::string& path, int depth) {
    for (std::size_t i = 0; i < elements.size(); ++i)
      if (holds_more(elements[i])) visit(elements[i], join(path, fmt::format("{}", i)), depth + 1);
  }

  void visit_items(const std::vector<std::pair<PickleId, PickleId>>& items, const std::string& path, int depth) {
    // The last of equal keys counts, as in Python.
    std::map<std::string_view, std::size_t> last;
    for (std::size_t i = 0; i < items.size(); ++i)
      if (const auto* text = pickle_.as<PickleText>(items[i].first)) last[text->text] = i;
    for (std::size_t i = 0; i < items.size(); ++i) {
      const auto* text = pickle_.as<PickleText>(items[i].first);
      if (text != nullptr && last.at(text->text) != i) continue;
      if (holds_more(items[i].second) || depth < kDeepestScalar)
        visit(items[i].second, join(path, key_text(items[i].first, i)), depth + 1);
    }
  }

  /// Whether there can be a tensor in the value: lists of numbers need no names.
  bool holds_more(PickleId id) const {
    const PickleValue& value = pickle_[id];
    return std::holds_alternative<PickleObject>(value) || std::holds_alternative<PickleList>(value) ||
           std::holds_alternative<PickleDict>(value) || std::holds_alternative<PicklePersistent>(value);
  }

  void visit_object(PickleId id, const PickleObject& object, const std::string& path, int depth) {
    if (visit_tensor(object.callable, object.args, path.empty() ? "tensor" : path, 0)) return;
    if (!enter(id)) return;
    if (const auto* args = pickle_.as<PickleList>(object.args)) visit_arguments(object, *args, path, depth);
    visit_items(object.items, path, depth);
    visit_elements(object.elements, path, depth);
    for (const PickleId state : object.states) {
      if (const auto* dict = pickle_.as<PickleDict>(state)) {
        if (enter(state)) visit_items(dict->items, path, depth);
      } else if (holds_more(state)) {
        visit(state, join(path, "state"), depth + 1);
      }
    }
  }

  /// What the class was called with. OrderedDict([(key, value), ..]) is how Python 2 wrote one.
  void visit_arguments(const PickleObject& object, const PickleList& args, const std::string& path, int depth) {
    const auto* pairs = args.items.size() == 1 && pickle_.is_global(object.callable, "collections", "OrderedDict")
                            ? pickle_.as<PickleList>(args.items.front())
                            : nullptr;
    if (pairs == nullptr) {
      if (!args.items.empty() &&
          std::any_of(args.items.begin(), args.items.end(), [&](PickleId a) { return holds_more(a); }))
        visit_elements(args.items, join(path, "args"), depth + 1);
      return;
    }
    std::vector<std::pair<PickleId, PickleId>> items;
    for (const PickleId entry : pairs->items)
      if (const auto* pair = pickle_.as<PickleList>(entry); pair != nullptr && pair->items.size() == 2)
        items.emplace_back(pair->items[0], pair->items[1]);
    visit_items(items, path, depth + 1);
  }

  // ---- Tensors. ----

  /// Whether calling `callable` makes a tensor; if so, lists it.
  bool visit_tensor(PickleId callable, PickleId args_id, const std::string& path, int wrapping) {
    const auto* global = pickle_.as<PickleGlobal>(callable);
    const auto* args = pickle_.as<PickleList>(args_id);
    if (global == nullptr || args == nullptr || wrapping > kDeepestWrapping) return false;
    if (global->module == "torch._tensor" && global->name == "_rebuild_from_type_v2" && args->items.size() >= 3)
      return visit_tensor(args->items[0], args->items[2], path, wrapping + 1);
    if (global->module != "torch._utils" || !global->name.starts_with("_rebuild_")) return false;
    if (global->name == "_rebuild_parameter" || global->name == "_rebuild_parameter_with_state") {
      const auto* data = args->items.empty() ? nullptr : pickle_.as<PickleObject>(args->items[0]);
      if (data == nullptr || !visit_tensor(data->callable, data->args, path, wrapping + 1))
        note_unreadable(path, "a parameter without a tensor");
      return true;
    }
    const bool typed = global->name == "_rebuild_tensor_v3";
    if (typed || global->name == "_rebuild_tensor_v2" || global->name == "_rebuild_tensor")
      list_tensor(args->items, path, typed);
    else
      note_unreadable(path, fmt::format("made by torch._utils.{}", global->name));
    return true;
  }

  std::int64_t integer(PickleId id, const std::string& path) const {
    const auto* value = pickle_.as<std::int64_t>(id);
    if (value == nullptr || *value < 0) refuse(path, "a tensor's offset, size or stride is no such number");
    return *value;
  }

  std::vector<std::int64_t> integers(PickleId id, const std::string& path) const {
    const auto* list = pickle_.as<PickleList>(id);
    if (list == nullptr) refuse(path, "a tensor's size or stride is no tuple");
    std::vector<std::int64_t> values;
    for (const PickleId item : list->items) values.push_back(integer(item, path));
    return values;
  }

  /// (storage, offset, size, stride, requires_grad, hooks[, dtype][, metadata])
  void list_tensor(const std::vector<PickleId>& args, const std::string& path, bool typed) {
    const auto* reference = args.size() < 4 ? nullptr : pickle_.as<PicklePersistent>(args[0]);
    if (reference == nullptr) refuse(path, "a tensor without a storage");
    const auto [key, view] = note_storage(*reference);
    TorchStorage storage = listing_.storages.at(key);
    const TorchType* type = find_type(&TorchType::storage, storage.type);
    if (typed && args.size() > 6) {
      const auto* dtype = pickle_.as<PickleGlobal>(args[6]);
      type = dtype == nullptr ? nullptr : find_type(&TorchType::name, dtype->name);
      if (type == nullptr)
        return note_unreadable(path, fmt::format("of dtype {}", dtype == nullptr ? "unknown" : dtype->name));
      storage.elements = storage.elements * storage.element / type->bytes;
    }
    if (type == nullptr || !type->dtype) return note_unreadable(path, fmt::format("of a {}", storage.type));
    const auto* metadata = args.size() > (typed ? 7u : 6u) ? pickle_.as<PickleDict>(args.back()) : nullptr;
    if (metadata != nullptr && !metadata->items.empty()) return note_unreadable(path, "conjugate or negative in place");

    const auto extents = integers(args[2], path), strides = integers(args[3], path);
    if (extents.size() != strides.size()) refuse(path, "a tensor with more sizes than strides, or fewer");
    if (extents.size() > kMaxRank) return note_unreadable(path, fmt::format("of rank {}", extents.size()));
    TorchTensor tensor;
    tensor.name = path;
    tensor.storage = key;
    tensor.dtype = *type->dtype;
    tensor.shape = Shape(std::span<const std::int64_t>(extents));
    tensor.strides = Strides(std::span<const std::int64_t>(strides));
    if (__builtin_add_overflow(view, integer(args[1], path), &tensor.offset)) refuse(path, "an impossible offset");
    check_inside(tensor, storage);
    listing_.tensors.push_back(std::move(tensor));
  }

  void check_inside(const TorchTensor& tensor, const TorchStorage& storage) const {
    checked_payload(tensor.shape, size_of(tensor.dtype), where_, tensor.name);
    if (tensor.shape.product() == 0) return;
    std::int64_t last = tensor.offset;
    bool fits = true;
    for (int i = 0; i < tensor.shape.rank(); ++i) {
      std::int64_t way = 0;
      fits = fits && !__builtin_mul_overflow(tensor.shape[i] - 1, tensor.strides[i], &way) &&
             !__builtin_add_overflow(last, way, &last);
    }
    if (!fits || last >= storage.elements)
      refuse(tensor.name,
             fmt::format("elements outside the storage; got {} with strides {} from {}, in \"{}\" of {}",
                         tensor.shape.str(), tensor.strides.str(), tensor.offset, tensor.storage, storage.elements));
  }

  /// ('storage', class, key, location, elements[, (key, offset, elements) of a view]): the key, and where the view
  /// begins.
  std::pair<std::string, std::int64_t> note_storage(const PicklePersistent& reference) {
    const auto* id = pickle_.as<PickleList>(reference.id);
    const auto* type = id == nullptr || id->items.size() < 5 ? nullptr : pickle_.as<PickleGlobal>(id->items[1]);
    const auto* key = type == nullptr ? nullptr : pickle_.as<PickleText>(id->items[2]);
    if (key == nullptr || pickle_.text(id->items[0]) != "storage")
      throw IoError("{}: pickle: a reference to something outside that is no storage", where_);
    const std::string name(key->text.substr(0, kLongestName));
    const TorchType* known = find_type(&TorchType::storage, type->name);
    const TorchStorage storage{std::string(type->name.substr(0, kLongestName)), known == nullptr ? 0 : known->bytes,
                               integer(id->items[4], name)};
    if (known != nullptr) checked_payload(Shape{storage.elements}, known->bytes, where_, name);
    const auto entry = listing_.storages.emplace(name, storage).first;
    if (entry->second.type != storage.type || entry->second.elements != storage.elements)
      throw IoError("{}: pickle: storage \"{}\" is described in two ways", where_, name);
    const auto* view = id->items.size() > 5 ? pickle_.as<PickleList>(id->items[5]) : nullptr;
    if (view == nullptr) return {name, 0};
    if (view->items.size() != 3) throw IoError("{}: pickle: storage \"{}\" has an odd view", where_, name);
    return {name, integer(view->items[1], name)};
  }

  // ---- What is noted. ----

  void note_unreadable(const std::string& path, const std::string& reason) {
    listing_.unreadable.emplace(path, reason);
  }

  void note_scalar(const PickleValue& value, const std::string& path) {
    std::string text;
    if (const auto* string = std::get_if<PickleText>(&value))
      text = string->text;
    else if (const auto* integer = std::get_if<std::int64_t>(&value))
      text = fmt::format("{}", *integer);
    else if (const auto* real = std::get_if<double>(&value))
      text = fmt::format("{}", *real);
    else if (const auto* flag = std::get_if<bool>(&value))
      text = fmt::format("{}", *flag);
    else
      return;
    if (text.size() > kLongestName) return;
    listing_.scalars.emplace(path, std::move(text));
  }

  const Pickle& pickle_;
  const std::string& where_;
  TorchListing listing_;
  std::vector<bool> entered_;
  std::size_t names_left_;
};

}  // namespace

TorchListing list_torch_tensors(const Pickle& pickle, const std::string& where) {
  return TorchWalk(pickle, where).run();
}

}  // namespace retort
