// Writes one line for each alert, for the receiver's channel or, with `url`, for a service of its own.

#include "formatter.hpp"

using namespace watchfire;

class Lines {
 public:
  static constexpr Descriptor descriptor = {"lines", "Writes one line for each alert.",
                                            R"({"type":"object","properties":{"prefix":{"type":"string"},"url":{"type":"string"}}})"};

  static Result<Lines> open(Config config) {
    for (const char *name : {"prefix", "url"}) {
      if (config.has(name) && !config.text(name)) return Error::config(std::string("/") + name, "must be a text");
    }
    return Lines(config.text("prefix").value_or(""), config.text("url").value_or(""));
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
    if (!url_.empty()) {
      auto token = group.secret("token");
      if (!token) return Error::bad_input("the receiver's grant has no secret `token`");
      message.headers = {{"Authorization", "Bearer " + *token}};
      message.target = Target{Method::Post, url_};
    }
    return message;
  }

 private:
  Lines(std::string prefix, std::string url) : prefix_(std::move(prefix)), url_(std::move(url)) {}
  std::string prefix_;
  std::string url_;
};

WATCHFIRE_FORMATTER(Lines)
