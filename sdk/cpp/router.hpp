// Routers: who is told?

#ifndef WATCHFIRE_ROUTER_HPP
#define WATCHFIRE_ROUTER_HPP

#include "alerts.hpp"

namespace watchfire {

/// Where one alert goes: receivers (none: the route's own), or why nobody is to be told.
struct Decision {
  std::vector<std::string> receivers;
  std::optional<std::string> suppress;
  std::optional<std::string> group_key;
};

}  // namespace watchfire

/// Exports a router. `Type` has `static constexpr Descriptor descriptor`, `static Result<Type> open(Config)` and
/// `Result<std::vector<Decision>> route(int64_t at_ms, const std::vector<Alert> &)`.
#define WATCHFIRE_ROUTER(Type)                                                                                    \
  WATCHFIRE_DESCRIBE(Type, WATCHFIRE_PLUGIN_TYPES_KIND_ROUTER)                                                    \
  static watchfire::Opened<Type> watchfire_opened;                                                                \
  extern "C" bool exports_watchfire_plugin_router_open(plugin_string_t *, plugin_string_t *config,                \
                                                       uint32_t *handle,                                          \
                                                       exports_watchfire_plugin_router_plugin_error_t *e) {       \
    return watchfire_opened.open(config, handle, e);                                                              \
  }                                                                                                               \
  extern "C" bool exports_watchfire_plugin_router_route(                                                          \
      uint32_t handle, int64_t at_ms, exports_watchfire_plugin_router_list_alert_t *alerts,                       \
      exports_watchfire_plugin_router_list_decision_t *out, exports_watchfire_plugin_router_plugin_error_t *e) {  \
    using namespace watchfire;                                                                                    \
    std::vector<Alert> list = take_alerts(alerts->ptr, alerts->len);                                              \
    exports_watchfire_plugin_router_list_alert_free(alerts);                                                      \
    Result<std::vector<Decision>> answer = watchfire_opened.at(handle).route(at_ms, list);                        \
    if (auto *error = std::get_if<Error>(&answer)) return Opened<Type>::fail(*error, e);                          \
    const auto &decisions = std::get<std::vector<Decision>>(answer);                                              \
    out->len = decisions.size();                                                                                  \
    out->ptr = hand_out_list<exports_watchfire_plugin_router_decision_t>(out->len);                               \
    for (size_t i = 0; i < out->len; i++) {                                                                       \
      auto &receivers = out->ptr[i].receivers;                                                                    \
      receivers.len = decisions[i].receivers.size();                                                              \
      receivers.ptr = hand_out_list<plugin_string_t>(receivers.len);                                              \
      for (size_t r = 0; r < receivers.len; r++) receivers.ptr[r] = hand_out(decisions[i].receivers[r]);          \
      out->ptr[i].suppress = hand_out_option(decisions[i].suppress);                                              \
      out->ptr[i].group_key = hand_out_option(decisions[i].group_key);                                            \
    }                                                                                                             \
    return true;                                                                                                  \
  }                                                                                                               \
  extern "C" void exports_watchfire_plugin_router_close(uint32_t handle) { watchfire_opened.close(handle); }

#endif
