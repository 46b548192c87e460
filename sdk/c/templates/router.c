// Tells the receiver that a label names, with a prefix.

#include "watchfire.h"

// Each route has an instance of its own, in which `open` is called once.
static char *label, *prefix;

void exports_watchfire_plugin_plugin_describe(exports_watchfire_plugin_plugin_list_descriptor_t *list) {
  wf_describe(list, WATCHFIRE_PLUGIN_TYPES_KIND_ROUTER, "by-label", "Tells the receiver that a label names.",
              "{\"type\":\"object\",\"properties\":{\"label\":{\"type\":\"string\"},\"prefix\":{\"type\":\"string\"}}}");
}

bool exports_watchfire_plugin_router_open(plugin_string_t *name, plugin_string_t *config, uint32_t *handle,
                                          exports_watchfire_plugin_router_plugin_error_t *error) {
  (void)name;
  label = wf_config_text(*config, "label", "team");
  if (!label) return wf_invalid(error, "/label", "must be a text");
  prefix = wf_config_text(*config, "prefix", "");
  if (!prefix) return wf_invalid(error, "/prefix", "must be a text");
  *handle = 0;
  return true;
}

bool exports_watchfire_plugin_router_route(uint32_t handle, int64_t at_ms,
                                           exports_watchfire_plugin_router_list_alert_t *alerts,
                                           exports_watchfire_plugin_router_list_decision_t *decisions,
                                           exports_watchfire_plugin_router_plugin_error_t *error) {
  (void)handle, (void)at_ms, (void)error;
  decisions->len = alerts->len;
  decisions->ptr = calloc(alerts->len, sizeof *decisions->ptr);
  for (size_t i = 0; i < alerts->len; i++) {
    exports_watchfire_plugin_router_decision_t *decision = &decisions->ptr[i];
    wf_text value;
    if (wf_find(alerts->ptr[i].labels, "mute", &value) && wf_equal(value, "true")) {
      decision->suppress.is_some = true;
      decision->suppress.val = wf_copy("muted by its label");
    } else if (wf_find(alerts->ptr[i].labels, label, &value)) {
      decision->receivers.len = 1;
      decision->receivers.ptr = calloc(1, sizeof *decision->receivers.ptr);
      decision->receivers.ptr[0] = wf_format("%s%.*s", prefix, (int)value.len, (const char *)value.ptr);
    }
    // Neither: the route's own receiver is told.
  }
  exports_watchfire_plugin_router_list_alert_free(alerts);
  return true;
}

void exports_watchfire_plugin_router_close(uint32_t handle) {
  (void)handle;
  free(label);
  free(prefix);
}
