#include "condition.hpp"

using namespace watchfire;

class Reader {
 public:
  static constexpr Descriptor descriptor = {"reader", "Reads all that there is.", "", 3};

  static Result<Reader> open(Config) { return Reader(); }

  Result<Outcome> evaluate(const Batch &batch, State &state) {
    auto offsets = batch.offsets();
    auto times = batch.timestamps();
    auto values = batch.values();
    Outcome outcome;
    for (uint32_t series = 0; series < batch.ids().size(); series++) {
      uint32_t rows = offsets[series + 1] - offsets[series], last = offsets[series + 1] - 1;
      Labels labels = batch.labels(series);
      std::string summary = std::string(find(labels, "user").value_or("")) + " of " + std::to_string(labels.size()) +
                            " labels, " + std::to_string(rows) + " rows up to " + std::to_string(times[last]) +
                            ", layout " + std::to_string(state.version());
      outcome.findings.push_back({series, Severity::warning, values[last], summary});
    }
    return outcome;
  }
};

WATCHFIRE_CONDITION(Reader)
