// Writes one line for each alert.

#include "formatter.hpp"

using namespace watchfire;

class Lines {
 public:
  static constexpr Descriptor descriptor = {"lines", "Writes one line for each alert.",
                                            R"({"type":"object","properties":{"prefix":{"type":"string"}}})"};

  static Result<Lines> open(Config config) {
    if (config.has("prefix") && !config.text("prefix")) return Error::config("/prefix", "must be a text");
    return Lines(config.text("prefix").value_or(""));
  }

  Result<Message> format(const Group &group) {
    Message message;
    size_t firing = 0;
    for (const Alert &alert : group.alerts) {
      message.body += (alert.firing ? "FIRING " : "RESOLVED ") + alert.name + ": " + alert.summary + "\n";
      firing += alert.firing;
    }
    message.title = prefix_ + std::to_string(firing) + " firing, " +
                    std::to_string(group.alerts.size() - firing) + " resolved";
    return message;
  }

 private:
  explicit Lines(std::string prefix) : prefix_(std::move(prefix)) {}
  std::string prefix_;
};

WATCHFIRE_FORMATTER(Lines)
