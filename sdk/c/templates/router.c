// Tells the receiver that a label names, with a prefix.

#include "watchfire.h"

#define ROUTES_MAX 1024

static struct {
  char *label;
  char *prefix;
} routes[ROUTES_MAX];
static uint32_t opened;

void exports_watchfire_plugin_plugin_describe(exports_watchfire_plugin_plugin_list_descriptor_t *list) {
  wf_describe(list, WATCHFIRE_PLUGIN_TYPES_KIND_ROUTER, "by-label", "Tells the receiver that a label names.",
              "{\"type\":\"object\",\"properties\":{\"label\":{\"type\":\"string\"},\"prefix\":{\"type\":\"string\"}}}");
}

bool exports_watchfire_plugin_router_open(plugin_string_t *name, plugin_string_t *config, uint32_t *handle,
                                          exports_watchfire_plugin_router_plugin_error_t *error) {
  (void)name;
  if (opened == ROUTES_MAX) return wf_invalid(error, "", "one instance serves at most 1,024 routes");
  routes[opened].label = wf_config_text(*config, "label", "team");
  if (!routes[opened].label) return wf_invalid(error, "/label", "must be a text");
  routes[opened].prefix = wf_config_text(*config, "prefix", "");
  if (!routes[opened].prefix) return wf_invalid(error, "/prefix", "must be a text");
  *handle = opened++;
  return true;
}

bool exports_watchfire_plugin_router_route(uint32_t handle, int64_t at_ms,
                                           exports_watchfire_plugin_router_list_alert_t *alerts,
                                           exports_watchfire_plugin_router_list_decision_t *decisions,
                                           exports_watchfire_plugin_router_plugin_error_t *error) {
  (void)at_ms, (void)error;
  decisions->len = alerts->len;
  decisions->ptr = calloc(alerts->len, sizeof *decisions->ptr);
  for (size_t i = 0; i < alerts->len; i++) {
    exports_watchfire_plugin_router_decision_t *decision = &decisions->ptr[i];
    wf_text value;
    if (wf_find(alerts->ptr[i].labels, "mute", &value) && wf_equal(value, "true")) {
      decision->suppress.is_some = true;
      decision->suppress.val = wf_copy("muted by its label");
    } else if (wf_find(alerts->ptr[i].labels, routes[handle].label, &value)) {
      decision->receivers.len = 1;
      decision->receivers.ptr = calloc(1, sizeof *decision->receivers.ptr);
      decision->receivers.ptr[0] =
          wf_format("%s%.*s", routes[handle].prefix, (int)value.len, (const char *)value.ptr);
    }
    // Neither: the route's own receiver is told.
  }
  exports_watchfire_plugin_router_list_alert_free(alerts);
  return true;
}

void exports_watchfire_plugin_router_close(uint32_t handle) {
  free(routes[handle].label);
  free(routes[handle].prefix);
}
