// distill/train/config.cpp -- the configuration tree: paths, overrides, extends, unknown keys.
#include "distill/train/config.h"

#include <algorithm>

#include "distill/train/nearest.h"
#include "tensor/error.h"

namespace retort {

std::string Config::location() const { return line_ > 0 ? fmt::format("{}:{}:{}", source_, line_, column_) : source_; }

std::string Config::where() const { return path_.empty() ? location() : location() + ": " + path_; }

void Config::fail(const std::string& what) const { throw ConfigError(where() + ": " + what); }

std::string Config::describe() const {
  switch (kind_) {
    case Kind::null:
      return "null";
    case Kind::list:
      return "a list";
    case Kind::map:
      return "a map";
    case Kind::scalar:
      break;
  }
  return quoted_ ? fmt::format("the quoted text \"{}\"", text_) : fmt::format("'{}'", text_);
}

// A section that was only asked for is not there until something is recorded in it.
bool Config::vacant() const {
  return invented_ && std::all_of(children_.begin(), children_.end(), [](const Config& c) { return c.vacant(); });
}

void Config::learn(std::string_view key) {
  if (std::find(known_.begin(), known_.end(), key) == known_.end()) known_.emplace_back(key);
}

Config* Config::entry(std::string_view key) {
  for (Config& child : children_) {
    if (child.key_ == key) return &child;
  }
  return nullptr;
}

// A key may itself hold dots (`syn.lr` in an optimiser's map), so longer heads are tried after shorter ones.
Config* Config::find(std::string_view path, Walk walk) {
  if (kind_ == Kind::null) return nullptr;
  if (kind_ == Kind::scalar) fail(fmt::format("expected a map with '{}' in it; got {}", path, describe()));
  const Config* blocked = nullptr;
  for (std::size_t dot = path.find('.');; dot = path.find('.', dot + 1)) {
    const std::string_view head = path.substr(0, dot);
    if (Config* child = entry(head)) {
      if (walk == Walk::read) learn(head);
      if (dot == path.npos) return child;
      if (child->is_scalar()) {
        blocked = child;
      } else {
        if (walk == Walk::read) child->read_ = true;
        if (Config* hit = child->find(path.substr(dot + 1), walk)) return hit;
      }
    }
    if (dot == path.npos) break;
  }
  if (blocked) blocked->fail(fmt::format("expected a map, for '{}'; got {}", path, blocked->describe()));
  if (walk == Walk::read) learn(path.substr(0, path.find('.')));
  return nullptr;
}

Config& Config::append(const std::string& key) {
  Config& child = children_.emplace_back();
  child.key_ = key;
  child.path_ = path_.empty() ? key : path_ + "." + key;
  child.source_ = source_;
  return child;
}

Config& Config::make(std::string_view path, Walk walk) {
  if (kind_ == Kind::null) kind_ = Kind::map;
  const std::size_t dot = path.find('.');
  const std::string head(path.substr(0, dot));
  Config* child = entry(head);
  if (!child) {
    if (kind_ != Kind::map) fail(fmt::format("no entry '{}' can be added here; got {}", head, describe()));
    child = &append(head);
    child->invented_ = true;
    if (walk == Walk::look) child->source_ = "command line";  // only overrides write without reading
  }
  if (walk == Walk::read) {
    learn(head);
    child->read_ = true;
  }
  return dot == path.npos ? *child : child->make(path.substr(dot + 1), walk);
}

bool Config::has(std::string_view path) {
  const Config* hit = find(path, Walk::read);
  return hit && !hit->vacant();
}

Config& Config::child(std::string_view path) {
  Config* hit = find(path, Walk::read);
  if (!hit) return make(path, Walk::read);
  hit->read_ = true;
  return *hit;
}

Config::Items Config::items() {
  if (kind_ == Kind::scalar) fail("expected a map or a list; got " + describe());
  read_ = true;
  Items out;
  for (Config& child : children_) {
    if (child.vacant()) continue;
    child.read_ = true;
    out.emplace_back(child);
  }
  return out;
}

Config& Config::require(std::string_view path) {
  Config* hit = find(path, Walk::read);
  if (!hit || hit->vacant()) fail_missing(path);
  return *hit;
}

void Config::fail_missing(std::string_view path) {
  Config* section = this;
  std::string_view name = path;
  for (std::size_t dot = name.find('.'); dot != name.npos; dot = name.find('.')) {
    Config* next = section->entry(name.substr(0, dot));
    if (!next) break;
    section = next;
    name.remove_prefix(dot + 1);
  }
  name = name.substr(0, name.find('.'));
  std::vector<std::string> unread;
  for (const Config& child : section->children_) {
    if (!child.read_) unread.push_back(child.key_);
  }
  const std::string nearest = nearest_name(name, unread);
  const std::string hint =
      nearest.empty() ? "" : fmt::format("; is '{}' ({}) meant?", nearest, section->entry(nearest)->location());
  throw ConfigError("{}: {}{}{}: required key is missing{}", section->location(), path_, path_.empty() ? "" : ".", path,
                    hint);
}

void Config::rebase(const std::string& path) {
  path_ = path;
  for (Config& child : children_) child.rebase(path.empty() ? child.key_ : path + "." + child.key_);
}

void Config::assign(const Config& value) {
  Config copy = value;
  copy.key_ = key_;
  copy.read_ = read_;
  copy.known_ = known_;
  copy.rebase(path_);
  *this = std::move(copy);
}

void Config::merge(const Config& over) {
  source_ = over.source_;
  line_ = over.line_;
  column_ = over.column_;
  for (const Config& theirs : over.children_) {
    Config* ours = entry(theirs.key_);
    if (ours && ours->is_map() && theirs.is_map()) {
      ours->merge(theirs);
    } else {
      (ours ? *ours : append(theirs.key_)).assign(theirs);
    }
  }
}

void Config::resolve_extends(const Resolver& resolver) {
  std::vector<Config> layers{*this};
  std::vector<std::string> names;
  while (Config* extends = layers.back().entry("extends")) {
    const std::string name = extends->as<std::string>();
    const bool seen = std::find(names.begin(), names.end(), name) != names.end();
    names.push_back(name);
    if (seen) extends->fail(fmt::format("extends itself: {}", fmt::join(names, " -> ")));
    Config base = resolver(name);
    layers.back().children_.remove_if([](const Config& c) { return c.key_ == "extends"; });
    layers.push_back(std::move(base));
  }
  Config merged = std::move(layers.back());
  for (auto layer = layers.rbegin() + 1; layer != layers.rend(); ++layer) merged.merge(*layer);
  assign(merged);
}

void Config::collect_unread(std::vector<std::string>& out) const {
  for (const Config& child : children_) {
    if (child.read_) {
      child.collect_unread(out);
    } else if (is_list()) {
      out.push_back(child.where() + ": nothing reads this element");
    } else {
      const std::string nearest = nearest_name(child.key_, known_);
      out.push_back(child.where() + ": unknown key; " +
                    (nearest.empty() ? "no key is known here" : fmt::format("the nearest known key is '{}'", nearest)));
    }
  }
}

void Config::check_all_read() const {
  std::vector<std::string> unread;
  collect_unread(unread);
  if (unread.empty()) return;
  if (unread.size() == 1) throw ConfigError(unread.front());
  throw ConfigError("{} unknown keys:\n  {}", unread.size(), fmt::join(unread, "\n  "));
}

}  // namespace retort
