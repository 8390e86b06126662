// io/pickle.cpp -- the pickle machine: a stack of values, marks, a memo. docs.python.org/3/library/pickletools.html
#include "io/pickle.h"

#include <bit>
#include <cstring>
#include <unordered_map>

#include "io/byte_cursor.h"
#include "tensor/error.h"

namespace retort {
namespace {

constexpr int kOldestProtocol = 2, kNewestProtocol = 5;
/// Checkpoints have a few thousand of either; together they bound what a stream of one-byte opcodes can make of itself.
constexpr std::size_t kMostValues = std::size_t{1} << 24, kMostOpcodes = std::size_t{1} << 26;

class PickleMachine {
 public:
  PickleMachine(std::span<const std::byte> bytes, const std::string& where) : cursor_(bytes, where) {}

  Pickle run() {
    if (cursor_.number<std::uint8_t>("the first opcode") != 0x80) cursor_.refuse("no pickle of protocol 2 or later");
    read_protocol();
    for (std::size_t done = 0;; ++done) {
      at_ = cursor_.offset();
      if (done >= kMostOpcodes) refuse("too many opcodes");
      opcode_ = cursor_.number<std::uint8_t>("an opcode");
      if (opcode_ == '.') break;
      step();
    }
    pickle_.root = pop();
    pickle_.size = cursor_.offset();
    return std::move(pickle_);
  }

 private:
  [[noreturn]] void refuse(std::string_view why) const {
    throw IoError("{}: pickle: opcode 0x{:02x} at offset {}: {}", cursor_.where(), opcode_, at_, why);
  }

  void step() {
    if (!step_value() && !step_container() && !step_stack() && !step_object())
      refuse("not one of those that are read here");
  }

  // ---- Numbers and texts. ----

  bool step_value() {
    constexpr std::string_view what = "a pickled value";
    switch (opcode_) {
      case 'N':
        push(PickleNone{});
        return true;
      case 0x88:
        push(true);
        return true;
      case 0x89:
        push(false);
        return true;
      case 'K':
        push(std::int64_t{cursor_.number<std::uint8_t>(what)});
        return true;
      case 'M':
        push(std::int64_t{cursor_.number<std::uint16_t>(what)});
        return true;
      case 'J':
        push(std::int64_t{cursor_.number<std::int32_t>(what)});
        return true;
      case 0x8a:
        push_long(cursor_.number<std::uint8_t>(what));
        return true;
      case 0x8b:
        push_long(cursor_.number<std::uint32_t>(what));
        return true;
      case 'G':
        push(big_endian_double());
        return true;
      case 'X':
        push_text(cursor_.number<std::uint32_t>(what), false);
        return true;
      case 0x8c:
        push_text(cursor_.number<std::uint8_t>(what), false);
        return true;
      case 0x8d:
        push_text(cursor_.number<std::uint64_t>(what), false);
        return true;
      // Python 2's str: text or bytes, as the reader likes.
      case 'U':
        push_text(cursor_.number<std::uint8_t>(what), false);
        return true;
      case 'T':
        push_text(cursor_.number<std::uint32_t>(what), false);
        return true;
      case 'C':
        push_text(cursor_.number<std::uint8_t>(what), true);
        return true;
      case 'B':
        push_text(cursor_.number<std::uint32_t>(what), true);
        return true;
      case 0x8e:
      case 0x96:
        push_text(cursor_.number<std::uint64_t>(what), true);
        return true;
      default:
        return false;
    }
  }

  void push_text(std::uint64_t length, bool is_bytes) {
    push(PickleText{cursor_.text(length, "a pickled text"), is_bytes});
  }

  void push_long(std::uint64_t length) {
    const std::string_view bytes = cursor_.text(length, "a pickled integer");
    if (length > 8) return push(PickleLong{bytes});
    // Two's complement, extended by its sign.
    std::int64_t value = length > 0 && (bytes.back() & 0x80) != 0 ? -1 : 0;
    std::memcpy(&value, bytes.data(), bytes.size());
    push(value);
  }

  double big_endian_double() {
    return std::bit_cast<double>(__builtin_bswap64(cursor_.number<std::uint64_t>("a pickled float")));
  }

  // ---- Lists, tuples, sets and dicts. ----

  bool step_container() {
    switch (opcode_) {
      case ']':
      case 0x8f:
        push(PickleList{});
        return true;
      case ')':
        push(PickleList{{}, true});
        return true;
      case 0x85:
        push_tuple(1);
        return true;
      case 0x86:
        push_tuple(2);
        return true;
      case 0x87:
        push_tuple(3);
        return true;
      case 't':
        push(PickleList{pop_to_mark(), true});
        return true;
      case 'l':
        push(PickleList{pop_to_mark(), false});
        return true;
      case 0x91:
        push(PickleList{pop_to_mark(), false});
        return true;
      case '}':
        push(PickleDict{});
        return true;
      case 'd': {
        const std::vector<PickleId> items = pop_to_mark();
        push(PickleDict{});
        put_pairs(items);
        return true;
      }
      case 'a':
        put_elements({pop()});
        return true;
      case 'e':
      case 0x90:
        put_elements(pop_to_mark());
        return true;
      case 's': {
        const PickleId value = pop(), key = pop();
        put_pairs({key, value});
        return true;
      }
      case 'u':
        put_pairs(pop_to_mark());
        return true;
      default:
        return false;
    }
  }

  void push_tuple(std::size_t size) {
    need(size);
    PickleList tuple{{stack_.end() - static_cast<std::ptrdiff_t>(size), stack_.end()}, true};
    stack_.resize(stack_.size() - size);
    push(std::move(tuple));
  }

  void put_elements(const std::vector<PickleId>& elements) {
    PickleValue& owner = top();
    auto* list = std::get_if<PickleList>(&owner);
    auto* object = std::get_if<PickleObject>(&owner);
    if ((list == nullptr || list->is_tuple) && object == nullptr) refuse("elements are put into what is no list");
    auto& to = list != nullptr ? list->items : object->elements;
    to.insert(to.end(), elements.begin(), elements.end());
  }

  void put_pairs(const std::vector<PickleId>& items) {
    PickleValue& owner = top();
    auto* dict = std::get_if<PickleDict>(&owner);
    auto* object = std::get_if<PickleObject>(&owner);
    if (dict == nullptr && object == nullptr) refuse("items are put into what is no dict");
    if (items.size() % 2 != 0) refuse("a key without a value");
    auto& to = dict != nullptr ? dict->items : object->items;
    for (std::size_t i = 0; i < items.size(); i += 2) to.emplace_back(items[i], items[i + 1]);
  }

  // ---- The stack and the memo. ----

  bool step_stack() {
    switch (opcode_) {
      case '(':
        marks_.push_back(stack_.size());
        return true;
      case '0':
        pop_value_or_mark();
        return true;
      case '1':
        pop_to_mark();
        return true;
      case '2':
        need(1);
        stack_.push_back(stack_.back());
        return true;
      case 'q':
        return remember(cursor_.number<std::uint8_t>("a memo index"));
      case 'r':
        return remember(cursor_.number<std::uint32_t>("a memo index"));
      case 0x94:
        return remember(static_cast<std::uint32_t>(memo_.size()));
      case 'h':
        return recall(cursor_.number<std::uint8_t>("a memo index"));
      case 'j':
        return recall(cursor_.number<std::uint32_t>("a memo index"));
      case 0x95:
        cursor_.number<std::uint64_t>("a frame's length");
        return true;
      case 0x80:
        read_protocol();
        return true;
      default:
        return false;
    }
  }

  void read_protocol() {
    const int protocol = cursor_.number<std::uint8_t>("the protocol");
    if (protocol < kOldestProtocol || protocol > kNewestProtocol)
      throw IoError("{}: pickle protocol {}; known are {} to {}", cursor_.where(), protocol, kOldestProtocol,
                    kNewestProtocol);
  }

  bool remember(std::uint32_t index) {
    need(1);
    memo_[index] = stack_.back();
    return true;
  }

  bool recall(std::uint32_t index) {
    const auto found = memo_.find(index);
    if (found == memo_.end()) refuse("nothing is remembered under this index");
    stack_.push_back(found->second);
    return true;
  }

  void pop_value_or_mark() {
    if (!marks_.empty() && marks_.back() == stack_.size())
      marks_.pop_back();
    else
      pop();
  }

  // ---- Names and objects. ----

  bool step_object() {
    switch (opcode_) {
      case 'c': {
        const std::string_view module = line();
        push(PickleGlobal{module, line()});
        return true;
      }
      case 0x93: {
        const PickleId name = pop(), module = pop();
        push(PickleGlobal{text(module), text(name)});
        return true;
      }
      case 'R':
      case 0x81: {
        const PickleId args = pop(), callable = pop();
        push_object(callable, args);
        return true;
      }
      case 0x92: {
        const PickleId named = pop(), args = pop(), callable = pop();
        push_object(callable, args);
        std::get<PickleObject>(top()).states.push_back(named);
        return true;
      }
      case 'o': {
        std::vector<PickleId> items = pop_to_mark();
        if (items.empty()) refuse("an object without a class");
        const PickleId callable = items.front();
        items.erase(items.begin());
        push_called(callable, std::move(items));
        return true;
      }
      case 'b': {
        const PickleId state = pop();
        auto* object = std::get_if<PickleObject>(&top());
        if (object == nullptr) refuse("a state for what is no object");
        object->states.push_back(state);
        return true;
      }
      case 'Q':
        push(PicklePersistent{pop()});
        return true;
      default:
        return false;
    }
  }

  void push_called(PickleId callable, std::vector<PickleId> items) {
    push(PickleList{std::move(items), true});
    push_object(callable, pop());
  }

  void push_object(PickleId callable, PickleId args) {
    PickleObject object;
    object.callable = callable;
    object.args = args;
    push(std::move(object));
  }

  std::string_view text(PickleId id) const {
    const auto* value = std::get_if<PickleText>(&pickle_.values[id]);
    if (value == nullptr) refuse("a name that is no text");
    return value->text;
  }

  /// Text up to the next newline.
  std::string_view line() {
    ByteCursor ahead = cursor_;
    const std::string_view rest = ahead.text(ahead.remaining(), "a name");
    const std::size_t length = rest.find('\n');
    if (length == std::string_view::npos) refuse("a name that does not end");
    cursor_.take(length + 1, "a name");
    return rest.substr(0, length);
  }

  // ---- What the steps are made of. ----

  void push(PickleValue value) {
    if (pickle_.values.size() >= kMostValues) refuse("too many values");
    stack_.push_back(static_cast<PickleId>(pickle_.values.size()));
    pickle_.values.push_back(std::move(value));
  }

  /// Values above the newest mark are the only ones that may be taken: those below belong to what is under way there.
  void need(std::size_t count) const {
    if (stack_.size() - (marks_.empty() ? 0 : marks_.back()) < count) refuse("the stack is empty");
  }

  PickleId pop() {
    need(1);
    const PickleId id = stack_.back();
    stack_.pop_back();
    return id;
  }

  std::vector<PickleId> pop_to_mark() {
    if (marks_.empty()) refuse("there is no mark");
    std::vector<PickleId> items(stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back()), stack_.end());
    stack_.resize(marks_.back());
    marks_.pop_back();
    return items;
  }

  PickleValue& top() {
    need(1);
    return pickle_.values[stack_.back()];
  }

  ByteCursor cursor_;
  Pickle pickle_;
  std::vector<PickleId> stack_;
  std::vector<std::size_t> marks_;  ///< heights of the stack
  std::unordered_map<std::uint32_t, PickleId> memo_;
  std::uint8_t opcode_ = 0;
  std::size_t at_ = 0;  ///< of the opcode
};

}  // namespace

std::string_view Pickle::text(PickleId id) const {
  const auto* value = as<PickleText>(id);
  return value == nullptr ? std::string_view() : value->text;
}

bool Pickle::is_global(PickleId id, std::string_view module, std::string_view name) const {
  const auto* global = as<PickleGlobal>(id);
  return global != nullptr && global->module == module && global->name == name;
}

Pickle read_pickle(std::span<const std::byte> bytes, const std::string& where) {
  return PickleMachine(bytes, where).run();
}

}  // namespace retort
