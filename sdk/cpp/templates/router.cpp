// Tells the receiver that a label names, with a prefix.

#include "router.hpp"

using namespace watchfire;

class ByLabel {
 public:
  static constexpr Descriptor descriptor = {
      "by-label", "Tells the receiver that a label names.",
      R"({"type":"object","properties":{"label":{"type":"string"},"prefix":{"type":"string"}}})"};

  static Result<ByLabel> open(Config config) {
    for (const char *name : {"label", "prefix"}) {
      if (config.has(name) && !config.text(name)) return Error::config(std::string("/") + name, "must be a text");
    }
    return ByLabel(config.text("label").value_or("team"), config.text("prefix").value_or(""));
  }

  Result<std::vector<Decision>> route(int64_t, const std::vector<Alert> &alerts) {
    std::vector<Decision> decisions(alerts.size());
    for (size_t i = 0; i < alerts.size(); i++) {
      if (find(alerts[i].labels, "mute") == "true") {
        decisions[i].suppress = "muted by its label";
      } else if (auto value = find(alerts[i].labels, label_)) {
        decisions[i].receivers = {prefix_ + std::string(*value)};
      }
      // Neither: the route's own receiver is told.
    }
    return decisions;
  }

 private:
  ByLabel(std::string label, std::string prefix) : label_(std::move(label)), prefix_(std::move(prefix)) {}
  std::string label_;
  std::string prefix_;
};

WATCHFIRE_ROUTER(ByLabel)
