// The SDK for Watchfire plugins in C++20: a class for each kind of plugin, and one line that exports it.
//
// Exceptions are off, because none can cross the border of a plugin: what can fail answers with a Result. Everything
// must be a function of what is passed in, and memory may vanish between two calls: what has to be remembered belongs
// into State.

#ifndef WATCHFIRE_HPP
#define WATCHFIRE_HPP

#include <cmath>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "watchfire.h"

namespace watchfire {

inline std::string_view view(wf_text text) { return {reinterpret_cast<const char *>(text.ptr), text.len}; }

/// A text in memory that the bindings free.
inline wf_text hand_out(std::string_view text) {
  wf_text copy = {static_cast<uint8_t *>(std::malloc(text.size() + 1)), text.size()};
  std::memcpy(copy.ptr, text.data(), text.size());
  return copy;
}

/// A list in memory that the bindings free.
template <class T>
T *hand_out_list(size_t length) {
  return static_cast<T *>(std::calloc(length ? length : 1, sizeof(T)));
}

/// Why there is no answer.
struct Error {
  /// The configuration cannot be used: where (a JSON pointer such as /limit), and what would be right.
  static Error config(std::string path, std::string message) {
    return {WATCHFIRE_PLUGIN_TYPES_PLUGIN_ERROR_INVALID_CONFIG, std::move(path), std::move(message)};
  }
  /// This input cannot be handled; the next one may be.
  static Error bad_input(std::string message) {
    return {WATCHFIRE_PLUGIN_TYPES_PLUGIN_ERROR_BAD_INPUT, {}, std::move(message)};
  }
  /// Anything else.
  static Error internal(std::string message) {
    return {WATCHFIRE_PLUGIN_TYPES_PLUGIN_ERROR_INTERNAL, {}, std::move(message)};
  }

  /// Which of these, as the contract numbers them.
  uint8_t tag;
  std::string path;
  std::string message;
};

/// A value, or why there is none.
template <class T>
using Result = std::variant<T, Error>;

/// The user's configuration, one JSON object.
class Config {
 public:
  explicit Config(wf_text json) : json_(json) {}

  bool has(const char *name) const { return wf_config(json_, name, nullptr, nullptr) != WF_ABSENT; }

  std::optional<double> number(const char *name) const {
    double number = 0;
    if (wf_config(json_, name, &number, nullptr) != WF_NUMBER) return std::nullopt;
    return number;
  }

  std::optional<std::string> text(const char *name) const {
    wf_text text = {nullptr, 0};
    if (wf_config(json_, name, nullptr, &text) != WF_TEXT) return std::nullopt;
    std::string copy(view(text));
    std::free(text.ptr);
    return copy;
  }

 private:
  wf_text json_;
};

enum class Severity : uint8_t { info, warning, error, critical };

using Labels = std::vector<std::pair<std::string, std::string>>;

/// The value of a label; none where it is not there.
inline std::optional<std::string_view> find(const Labels &labels, std::string_view name) {
  for (const auto &[key, value] : labels) {
    if (key == name) return value;
  }
  return std::nullopt;
}

inline Labels take_labels(plugin_list_tuple2_string_string_t pairs) {
  Labels labels;
  labels.reserve(pairs.len);
  for (size_t i = 0; i < pairs.len; i++) labels.emplace_back(view(pairs.ptr[i].f0), view(pairs.ptr[i].f1));
  return labels;
}

/// What is announced of a plugin.
struct Descriptor {
  const char *name;
  const char *summary;
  const char *schema;
  /// Raise it when the layout of the values in State changes.
  uint32_t state_version = 1;
};

/// Keeps what was opened, and translates errors.
template <class T>
class Opened {
 public:
  template <class Failure>
  bool open(wf_text *config, uint32_t *handle, Failure *failure) {
    Result<T> opened = T::open(Config(*config));
    if (auto *error = std::get_if<Error>(&opened)) return fail(*error, failure);
    *handle = static_cast<uint32_t>(objects_.size());
    objects_.push_back(std::make_unique<T>(std::move(std::get<T>(opened))));
    return true;
  }

  T &at(uint32_t handle) { return *objects_[handle]; }
  void close(uint32_t handle) { objects_[handle].reset(); }

  template <class Failure>
  static bool fail(const Error &error, Failure *failure) {
    if (error.tag == WATCHFIRE_PLUGIN_TYPES_PLUGIN_ERROR_INVALID_CONFIG) {
      return wf_invalid(failure, error.path.c_str(), error.message.c_str());
    }
    // All others hold a text, which lies at the same place in each.
    failure->tag = error.tag;
    failure->val.internal = hand_out(error.message);
    return false;
  }

 private:
  std::vector<std::unique_ptr<T>> objects_;
};

}  // namespace watchfire

/// Announces what the plugin offers; used by the macros below.
#define WATCHFIRE_DESCRIBE(Type, KIND)                                                                      \
  extern "C" void exports_watchfire_plugin_plugin_describe(exports_watchfire_plugin_plugin_list_descriptor_t *list) { \
    wf_describe(list, KIND, Type::descriptor.name, Type::descriptor.summary, Type::descriptor.schema);      \
    list->ptr[0].state_version = Type::descriptor.state_version;                                            \
  }

#endif
