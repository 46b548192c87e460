// Routers and formatters: who is told, and what is said?

#ifndef WATCHFIRE_ALERTS_HPP
#define WATCHFIRE_ALERTS_HPP

#include "watchfire.hpp"

namespace watchfire {

/// An alert; times in milliseconds since 1970.
struct Alert {
  std::string fingerprint;
  std::string name;
  Severity severity;
  bool firing;
  int64_t starts_ms;
  std::optional<int64_t> ends_ms;
  std::optional<double> value;
  std::string summary;
  std::string generator_url;
  Labels labels;
  Labels annotations;
};

inline std::vector<Alert> take_alerts(const watchfire_plugin_alerts_alert_t *alerts, size_t length) {
  std::vector<Alert> list;
  list.reserve(length);
  for (size_t i = 0; i < length; i++) {
    const auto &one = alerts[i];
    Alert alert = {std::string(view(one.fingerprint)),
                   std::string(view(one.name)),
                   static_cast<Severity>(one.severity),
                   one.firing,
                   one.starts_ms,
                   std::nullopt,
                   std::nullopt,
                   std::string(view(one.summary)),
                   std::string(view(one.generator_url)),
                   take_labels(one.labels),
                   take_labels(one.annotations)};
    if (one.ends_ms.is_some) alert.ends_ms = one.ends_ms.val;
    if (one.value.is_some) alert.value = one.value.val;
    list.push_back(std::move(alert));
  }
  return list;
}

inline plugin_option_string_t hand_out_option(const std::optional<std::string> &text) {
  plugin_option_string_t option = {text.has_value(), {nullptr, 0}};
  if (text) option.val = hand_out(*text);
  return option;
}

}  // namespace watchfire

#endif
