// Finds the series above a limit, and says for how many evaluations in a row there have been any.

#include <math.h>

#include "watchfire.h"

// Each rule has an instance of its own, in which `open` is called once.
static double limit;

void exports_watchfire_plugin_plugin_describe(exports_watchfire_plugin_plugin_list_descriptor_t *list) {
  wf_describe(list, WATCHFIRE_PLUGIN_TYPES_KIND_CONDITION, "above", "Finds the series above a limit.",
              "{\"type\":\"object\",\"required\":[\"limit\"],\"properties\":{\"limit\":{\"type\":\"number\"}}}");
}

bool exports_watchfire_plugin_condition_open(plugin_string_t *name, plugin_string_t *config, uint32_t *handle,
                                             exports_watchfire_plugin_condition_plugin_error_t *error) {
  (void)name;
  if (wf_config(*config, "limit", &limit, NULL) != WF_NUMBER) return wf_invalid(error, "/limit", "must be a number");
  *handle = 0;
  return true;
}

// How many evaluations in a row found something, this one included.
static unsigned long streak(void) {
  wf_text key = wf_literal("streak");
  plugin_list_u8_t stored;
  if (!watchfire_plugin_state_get(&key, &stored)) return 1;
  wf_text digits = wf_format("%.*s", (int)stored.len, (const char *)stored.ptr);
  unsigned long before = strtoul((const char *)digits.ptr, NULL, 10);
  free(digits.ptr);
  plugin_list_u8_free(&stored);
  return before + 1;
}

bool exports_watchfire_plugin_condition_evaluate(uint32_t handle, exports_watchfire_plugin_condition_outcome_t *outcome,
                                                 exports_watchfire_plugin_condition_plugin_error_t *error) {
  (void)handle;
  plugin_list_f64_t values;
  watchfire_plugin_input_latest(&values);
  outcome->findings.ptr = calloc(values.len, sizeof *outcome->findings.ptr);
  outcome->findings.len = 0;
  outcome->unknown.ptr = calloc(values.len, sizeof *outcome->unknown.ptr);
  outcome->unknown.len = 0;
  wf_text host = wf_literal("host"), key = wf_literal("streak");
  unsigned long row = streak();
  for (uint32_t series = 0; series < values.len; series++) {
    double value = values.ptr[series];
    if (isnan(value)) {
      outcome->unknown.ptr[outcome->unknown.len++] = series;
    } else if (value > limit) {
      exports_watchfire_plugin_condition_finding_t *finding = &outcome->findings.ptr[outcome->findings.len++];
      wf_text label = {NULL, 0};
      // Labels are asked for where they are needed, not for every series.
      // Of a label that is not there nothing is written that means something.
      if (!watchfire_plugin_input_label(series, &host, &label)) label = wf_literal("");
      finding->series = series;
      finding->severity = WATCHFIRE_PLUGIN_TYPES_SEVERITY_WARNING;
      finding->value = value;
      finding->summary =
          wf_format("%.*s is above the limit, %lu in a row", (int)label.len, (const char *)label.ptr, row);
      plugin_string_free(&label);
    }
  }
  plugin_list_f64_free(&values);
  wf_text digits = wf_format("%lu", outcome->findings.len ? row : 0);
  plugin_list_u8_t value = {digits.ptr, digits.len};
  wf_text refusal;
  bool kept = watchfire_plugin_state_set(&key, &value, &refusal);
  free(digits.ptr);
  if (!kept) {
    error->tag = WATCHFIRE_PLUGIN_TYPES_PLUGIN_ERROR_INTERNAL;
    error->val.internal = refusal;
  }
  return kept;
}

void exports_watchfire_plugin_condition_close(uint32_t handle) { (void)handle; }
