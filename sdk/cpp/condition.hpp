// Conditions: which of these series are in trouble?

#ifndef WATCHFIRE_CONDITION_HPP
#define WATCHFIRE_CONDITION_HPP

#include "watchfire.hpp"

namespace watchfire {

/// One series in trouble: its index in the batch, each at most once.
struct Finding {
  uint32_t series;
  Severity severity;
  double value;
  std::string summary;
};

/// What is in neither list is fine.
struct Outcome {
  std::vector<Finding> findings;
  /// Series of which nothing can be said; their alerts stay as they are.
  std::vector<uint32_t> unknown;
};

/// Series with rows, in columns; to be used during evaluate only.
class Batch {
 public:
  Batch() { watchfire_plugin_input_latest(&latest_); }
  ~Batch() { plugin_list_f64_free(&latest_); }
  Batch(const Batch &) = delete;
  Batch &operator=(const Batch &) = delete;

  /// The time of the evaluation in milliseconds since 1970. There is no other clock.
  int64_t at_ms() const { return watchfire_plugin_input_eval_time_ms(); }

  /// The newest value of each series, NaN where there is none.
  std::span<const double> latest() const { return {latest_.ptr, latest_.len}; }

  /// The stable ids of the series: the keys for what is remembered per series.
  std::vector<uint64_t> ids() const { return take(watchfire_plugin_input_series_ids, plugin_list_u64_free); }

  /// Where each series' rows begin, and at last the number of rows.
  std::vector<uint32_t> offsets() const { return take(watchfire_plugin_input_offsets, plugin_list_u32_free); }

  /// The rows' times in milliseconds since 1970.
  std::vector<int64_t> timestamps() const { return take(watchfire_plugin_input_timestamps, plugin_list_s64_free); }

  /// The rows' values.
  std::vector<double> values() const { return take(watchfire_plugin_input_values, plugin_list_f64_free); }

  /// One label of one series. Ask for those that fire, not for all.
  std::optional<std::string> label(uint32_t series, const char *name) const {
    wf_text key = wf_literal(name), value;
    if (!watchfire_plugin_input_label(series, &key, &value)) return std::nullopt;
    std::string label(view(value));
    plugin_string_free(&value);
    return label;
  }

  /// All labels of one series.
  Labels labels(uint32_t series) const {
    plugin_list_tuple2_string_string_t pairs;
    watchfire_plugin_input_labels(series, &pairs);
    Labels labels = take_labels(pairs);
    plugin_list_tuple2_string_string_free(&pairs);
    return labels;
  }

 private:
  /// A column, copied from where the bindings put it.
  template <class List>
  static std::vector<std::remove_pointer_t<decltype(List::ptr)>> take(void (*ask)(List *), void (*free)(List *)) {
    List list;
    ask(&list);
    std::vector<std::remove_pointer_t<decltype(List::ptr)>> column(list.ptr, list.ptr + list.len);
    free(&list);
    return column;
  }

  plugin_list_f64_t latest_;
};

/// What a condition remembers: durable, one per rule. Writes count only if evaluate answers with an outcome.
class State {
 public:
  std::optional<std::string> get(const char *key) const {
    wf_text name = wf_literal(key);
    plugin_list_u8_t value;
    if (!watchfire_plugin_state_get(&name, &value)) return std::nullopt;
    std::string text(reinterpret_cast<const char *>(value.ptr), value.len);
    plugin_list_u8_free(&value);
    return text;
  }

  /// None, or which limit would be passed.
  std::optional<Error> set(const char *key, std::string_view value) {
    wf_text name = wf_literal(key), refusal;
    plugin_list_u8_t bytes = {reinterpret_cast<uint8_t *>(const_cast<char *>(value.data())), value.size()};
    if (watchfire_plugin_state_set(&name, &bytes, &refusal)) return std::nullopt;
    Error error = Error::internal(std::string(view(refusal)));
    plugin_string_free(&refusal);
    return error;
  }

  /// Removes a key; one that is not there is no mistake.
  void erase(const char *key) {
    wf_text name = wf_literal(key);
    watchfire_plugin_state_delete(&name);
  }

  /// The state version of whichever version of the plugin wrote what is remembered; this one's own where nothing is.
  uint32_t version() const { return watchfire_plugin_state_version(); }
};

}  // namespace watchfire

/// Exports a condition. `Type` has `static constexpr Descriptor descriptor`, `static Result<Type> open(Config)` and
/// `Result<Outcome> evaluate(const Batch &, State &)`.
#define WATCHFIRE_CONDITION(Type)                                                                                 \
  WATCHFIRE_DESCRIBE(Type, WATCHFIRE_PLUGIN_TYPES_KIND_CONDITION)                                                 \
  static watchfire::Opened<Type> watchfire_opened;                                                                \
  extern "C" bool exports_watchfire_plugin_condition_open(plugin_string_t *, plugin_string_t *config,             \
                                                          uint32_t *handle,                                       \
                                                          exports_watchfire_plugin_condition_plugin_error_t *e) { \
    return watchfire_opened.open(config, handle, e);                                                              \
  }                                                                                                               \
  extern "C" bool exports_watchfire_plugin_condition_evaluate(                                                    \
      uint32_t handle, exports_watchfire_plugin_condition_outcome_t *out,                                         \
      exports_watchfire_plugin_condition_plugin_error_t *e) {                                                     \
    using namespace watchfire;                                                                                    \
    State state;                                                                                                  \
    Result<Outcome> answer = watchfire_opened.at(handle).evaluate(Batch(), state);                                \
    if (auto *error = std::get_if<Error>(&answer)) return Opened<Type>::fail(*error, e);                          \
    const Outcome &outcome = std::get<Outcome>(answer);                                                           \
    out->findings.len = outcome.findings.size();                                                                  \
    out->findings.ptr = hand_out_list<exports_watchfire_plugin_condition_finding_t>(out->findings.len);           \
    for (size_t i = 0; i < out->findings.len; i++) {                                                              \
      const Finding &f = outcome.findings[i];                                                                     \
      out->findings.ptr[i] = {f.series, static_cast<uint8_t>(f.severity), f.value, hand_out(f.summary)};          \
    }                                                                                                             \
    out->unknown.len = outcome.unknown.size();                                                                    \
    out->unknown.ptr = hand_out_list<uint32_t>(out->unknown.len);                                                 \
    std::copy(outcome.unknown.begin(), outcome.unknown.end(), out->unknown.ptr);                                  \
    return true;                                                                                                  \
  }                                                                                                               \
  extern "C" void exports_watchfire_plugin_condition_close(uint32_t handle) { watchfire_opened.close(handle); }

#endif
