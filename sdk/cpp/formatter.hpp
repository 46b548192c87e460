// Formatters: what is said?

#ifndef WATCHFIRE_FORMATTER_HPP
#define WATCHFIRE_FORMATTER_HPP

#include "alerts.hpp"

namespace watchfire {

/// What a message is about; firing alerts come first.
struct Group {
  int64_t at_ms;
  std::string key;
  std::string receiver;
  Labels group_labels;
  std::string external_url;
  std::vector<Alert> alerts;
  /// The id of this notification: the same at every attempt to deliver it.
  std::string id;
  /// The kind of the receiver's channel, such as `slack`.
  std::string channel;
  /// The secrets that the receiver grants, by name: a stand-in for each. Where it stands in the address, a header or the
  /// body of a request of the plugin's own, the host puts the secret.
  Labels secrets;

  /// The stand-in for a secret, if the receiver grants one of that name.
  std::optional<std::string> secret(std::string_view name) const {
    for (const auto &[known, stand_in] : secrets) {
      if (known == name) return stand_in;
    }
    return std::nullopt;
  }
};

enum class Method : uint8_t { Get, Post, Put, Patch, Delete };

/// Where a request of the plugin's own goes; the host sends it if the receiver grants the host.
struct Target {
  Method method = Method::Post;
  std::string url;
};

/// A message; the host signs and sends it, and addresses it unless the plugin does.
struct Message {
  std::string title;
  std::string content_type = "text/plain";
  std::string body;
  Labels headers;
  std::optional<std::string> dedup_key;
  /// Where it goes, if not through the receiver's own channel.
  std::optional<Target> target;
};

}  // namespace watchfire

/// Exports a formatter. `Type` has `static constexpr Descriptor descriptor`, `static Result<Type> open(Config)` and
/// `Result<Message> format(const Group &)`.
#define WATCHFIRE_FORMATTER(Type)                                                                                 \
  WATCHFIRE_DESCRIBE(Type, WATCHFIRE_PLUGIN_TYPES_KIND_FORMATTER)                                                 \
  static watchfire::Opened<Type> watchfire_opened;                                                                \
  extern "C" bool exports_watchfire_plugin_formatter_open(plugin_string_t *, plugin_string_t *config,             \
                                                          uint32_t *handle,                                       \
                                                          exports_watchfire_plugin_formatter_plugin_error_t *e) { \
    return watchfire_opened.open(config, handle, e);                                                              \
  }                                                                                                               \
  extern "C" bool exports_watchfire_plugin_formatter_format(                                                      \
      uint32_t handle, exports_watchfire_plugin_formatter_group_t *given,                                         \
      exports_watchfire_plugin_formatter_message_t *out, exports_watchfire_plugin_formatter_plugin_error_t *e) {  \
    using namespace watchfire;                                                                                    \
    Group group = {given->at_ms,                                                                                  \
                   std::string(view(given->key)),                                                                 \
                   std::string(view(given->receiver)),                                                            \
                   take_labels(given->group_labels),                                                              \
                   std::string(view(given->external_url)),                                                        \
                   take_alerts(given->alerts.ptr, given->alerts.len),                                             \
                   std::string(view(given->id)),                                                                  \
                   std::string(view(given->channel)),                                                             \
                   take_labels(given->secrets)};                                                                  \
    exports_watchfire_plugin_formatter_group_free(given);                                                         \
    Result<Message> answer = watchfire_opened.at(handle).format(group);                                           \
    if (auto *error = std::get_if<Error>(&answer)) return Opened<Type>::fail(*error, e);                          \
    const Message &message = std::get<Message>(answer);                                                           \
    out->title = hand_out(message.title);                                                                         \
    out->content_type = hand_out(message.content_type);                                                           \
    out->body = hand_out(message.body);                                                                           \
    out->headers.len = message.headers.size();                                                                    \
    out->headers.ptr = hand_out_list<plugin_tuple2_string_string_t>(out->headers.len);                            \
    for (size_t i = 0; i < out->headers.len; i++) {                                                               \
      out->headers.ptr[i] = {hand_out(message.headers[i].first), hand_out(message.headers[i].second)};            \
    }                                                                                                             \
    out->dedup_key = hand_out_option(message.dedup_key);                                                          \
    out->target.is_some = message.target.has_value();                                                             \
    if (message.target) {                                                                                         \
      out->target.val = {static_cast<uint8_t>(message.target->method), hand_out(message.target->url)};            \
    }                                                                                                             \
    return true;                                                                                                  \
  }                                                                                                               \
  extern "C" void exports_watchfire_plugin_formatter_close(uint32_t handle) { watchfire_opened.close(handle); }

#endif
