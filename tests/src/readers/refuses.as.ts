
function open(config: Config): Lines {
  const prefix = config.text("prefix", "");
  if (prefix == "bad input") badInput("");
  if (prefix == "both") {
    badInput("said too");
    config.refuse("/prefix", "");
  }
  return new Lines(prefix, config.text("url", ""));
}
