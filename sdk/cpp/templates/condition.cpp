// Finds the series above a limit, and says for how many evaluations in a row there have been any.

#include "condition.hpp"

using namespace watchfire;

class Above {
 public:
  static constexpr Descriptor descriptor = {
      "above", "Finds the series above a limit.",
      R"({"type":"object","required":["limit"],"properties":{"limit":{"type":"number"}}})"};

  static Result<Above> open(Config config) {
    auto limit = config.number("limit");
    if (!limit) return Error::config("/limit", "must be a number");
    return Above(*limit);
  }

  Result<Outcome> evaluate(const Batch &batch, State &state) {
    int streak = std::atoi(state.get("streak").value_or("0").c_str()) + 1;
    Outcome outcome;
    uint32_t series = 0;
    for (double value : batch.latest()) {
      if (std::isnan(value)) {
        outcome.unknown.push_back(series);
      } else if (value > limit_) {
        // Labels are asked for where they are needed, not for every series.
        std::string host = batch.label(series, "host").value_or("");
        std::string summary = host + " is above the limit, " + std::to_string(streak) + " in a row";
        outcome.findings.push_back({series, Severity::warning, value, summary});
      }
      series++;
    }
    if (auto error = state.set("streak", std::to_string(outcome.findings.empty() ? 0 : streak))) return *error;
    return outcome;
  }

 private:
  explicit Above(double limit) : limit_(limit) {}
  double limit_;
};

WATCHFIRE_CONDITION(Above)
