// io/json.cpp -- nlohmann's parser with a builder of our own: it sees keys before they replace each other.
#include "io/json.h"

#include <utility>
#include <vector>

#include "tensor/error.h"

namespace retort {
namespace {

using Json = nlohmann::json;

class StrictBuilder : public nlohmann::json_sax<Json> {
 public:
  StrictBuilder(const std::string& where, std::size_t deepest) : where_(where), deepest_(deepest) {}
  Json take() { return std::move(root_); }

  bool null() override { return put(nullptr); }
  bool boolean(bool value) override { return put(value); }
  bool number_integer(number_integer_t value) override { return put(value); }
  bool number_unsigned(number_unsigned_t value) override { return put(value); }
  bool number_float(number_float_t value, const string_t&) override { return put(value); }
  bool string(string_t& value) override { return put(std::move(value)); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open(Json::object()); }
  bool start_array(std::size_t) override { return open(Json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(string_t& name) override {
    const auto [entry, fresh] = open_.back()->get_ref<Json::object_t&>().emplace(std::move(name), nullptr);
    if (!fresh) throw IoError("{}: bad JSON; the key \"{}\" is given twice", where_, entry->first);
    member_ = &entry->second;
    return true;
  }
  bool parse_error(std::size_t byte, const std::string&, const nlohmann::detail::exception& error) override {
    throw IoError("{}: bad JSON at byte {}; {}", where_, byte, error.what());
  }

 private:
  Json* place(Json&& value) {
    Json* target = &root_;
    if (!open_.empty() && open_.back()->is_array())
      target = &open_.back()->get_ref<Json::array_t&>().emplace_back();
    else if (!open_.empty())
      target = member_;
    *target = std::move(value);
    return target;
  }
  bool put(Json&& value) {
    place(std::move(value));
    return true;
  }
  bool open(Json&& value) {
    if (open_.size() >= deepest_) throw IoError("{}: bad JSON; nested deeper than {} levels", where_, deepest_);
    open_.push_back(place(std::move(value)));
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }

  const std::string& where_;
  std::size_t deepest_;
  Json root_;
  Json* member_ = nullptr;   ///< where the value of the last key goes
  std::vector<Json*> open_;  ///< an array grows at its end only while its elements are closed: pointers stay valid
};

}  // namespace

nlohmann::json parse_json(std::string_view text, const std::string& where, std::size_t deepest) {
  StrictBuilder builder(where, deepest);
  if (!Json::sax_parse(text, &builder)) throw IoError("{}: bad JSON", where);
  return builder.take();
}

}  // namespace retort
