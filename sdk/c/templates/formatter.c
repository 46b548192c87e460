// Writes one line for each alert, for the receiver's channel or, with `url`, for a service of its own.

#include "watchfire.h"

// Each channel has an instance of its own, in which `open` is called once.
static char *prefix, *url;

void exports_watchfire_plugin_plugin_describe(exports_watchfire_plugin_plugin_list_descriptor_t *list) {
  wf_describe(list, WATCHFIRE_PLUGIN_TYPES_KIND_FORMATTER, "lines", "Writes one line for each alert.",
              "{\"type\":\"object\",\"properties\":{\"prefix\":{\"type\":\"string\"},\"url\":{\"type\":\"string\"}}}");
}

bool exports_watchfire_plugin_formatter_open(plugin_string_t *name, plugin_string_t *config, uint32_t *handle,
                                             exports_watchfire_plugin_formatter_plugin_error_t *error) {
  (void)name;
  prefix = wf_config_text(*config, "prefix", "");
  if (!prefix) return wf_invalid(error, "/prefix", "must be a text");
  url = wf_config_text(*config, "url", "");
  if (!url) return wf_invalid(error, "/url", "must be a text");
  *handle = 0;
  return true;
}

bool exports_watchfire_plugin_formatter_format(uint32_t handle, exports_watchfire_plugin_formatter_group_t *group,
                                               exports_watchfire_plugin_formatter_message_t *message,
                                               exports_watchfire_plugin_formatter_plugin_error_t *error) {
  (void)handle;
  wf_text token = wf_literal("");
  if (url[0] && !wf_find(group->secrets, "token", &token)) {
    error->tag = WATCHFIRE_PLUGIN_TYPES_PLUGIN_ERROR_BAD_INPUT;
    error->val.bad_input = wf_copy("the receiver's grant has no secret `token`");
    return false;
  }
  size_t firing = 0;
  wf_text body = wf_copy("");
  for (size_t i = 0; i < group->alerts.len; i++) {
    watchfire_plugin_alerts_alert_t *alert = &group->alerts.ptr[i];
    wf_text longer = wf_format("%.*s%s %.*s: %.*s\n", (int)body.len, (const char *)body.ptr,
                               alert->firing ? "FIRING" : "RESOLVED", (int)alert->name.len,
                               (const char *)alert->name.ptr, (int)alert->summary.len,
                               (const char *)alert->summary.ptr);
    free(body.ptr);
    body = longer;
    firing += alert->firing;
  }
  memset(message, 0, sizeof *message);
  message->title = wf_format("%s%zu firing, %zu resolved", prefix, firing, group->alerts.len - firing);
  message->content_type = wf_copy("text/plain");
  message->body = body;
  if (url[0]) {
    message->headers.ptr = malloc(sizeof *message->headers.ptr);
    message->headers.len = 1;
    message->headers.ptr[0].f0 = wf_copy("Authorization");
    message->headers.ptr[0].f1 = wf_format("Bearer %.*s", (int)token.len, (const char *)token.ptr);
    message->target.is_some = true;
    message->target.val.method = EXPORTS_WATCHFIRE_PLUGIN_FORMATTER_METHOD_POST;
    message->target.val.url = wf_copy(url);
  }
  exports_watchfire_plugin_formatter_group_free(group);
  return true;
}

void exports_watchfire_plugin_formatter_close(uint32_t handle) {
  (void)handle;
  free(prefix);
  free(url);
}
