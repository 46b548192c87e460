// Links of Alertmanager's pages, which messages and dashboards carry, lead to the same things here.
{
  const base = document.body.dataset.base || "";
  const [place, query] = location.hash.slice(1).split("?");
  const filter = new URLSearchParams(query).get("filter");
  if (place === "/silences/new") location.replace(base + "/silences?" + new URLSearchParams({ matchers: filter || "" }));
  else if (place.startsWith("/silences")) location.replace(base + "/silences");
  else if (place.startsWith("/status")) location.replace(base + "/rules");
}
// Keeps a page live: when the engine says that something changed, the page is fetched again and each marked part that
// differs is put in place. Parts are told apart by their ids, so that one that stays the same keeps its scroll position.
(() => {
  // Who somebody is, they say once per browser.
  const fill = (part) => {
    for (const input of part.querySelectorAll("input[data-remember]")) input.value ||= localStorage[input.dataset.remember] || "";
  };
  document.addEventListener("change", (event) => {
    if (event.target.dataset.remember) localStorage[event.target.dataset.remember] = event.target.value;
  });
  fill(document);
  const sign = document.querySelector(".live");
  if (!document.querySelector("[data-live]")) return;
  const opened = new Set();
  document.addEventListener("toggle", (event) => {
    if (event.target.dataset.key) opened[event.target.open ? "add" : "delete"](event.target.dataset.key);
  }, true);
  let running = false, again = false;
  const refresh = async () => {
    if (running) { again = true; return; }
    running = true;
    try {
      const answer = await fetch(location.href);
      if (!answer.ok) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const part of document.querySelectorAll("[data-live]")) {
        const fresh = page.getElementById(part.id);
        if (!fresh) continue;
        for (const details of fresh.querySelectorAll("details[data-key]")) details.open = opened.has(details.dataset.key);
        // Nobody loses what they are typing; the next change brings the rest.
        const typing = document.activeElement?.matches("input, textarea") && part.contains(document.activeElement);
        if (!typing && fresh.innerHTML !== part.innerHTML) { part.innerHTML = fresh.innerHTML; fill(part); }
      }
    } finally {
      running = false;
      if (again) { again = false; setTimeout(refresh, 150); }
    }
  };
  // A page that was left and is kept for the way back gives its connection up: browsers open six to a server in all.
  let stream;
  const listen = () => {
    stream = new EventSource(document.body.dataset.stream || (document.body.dataset.base || "") + "/api/watchfire/v1/stream");
    stream.onopen = () => { if (sign) { sign.classList.add("on"); sign.textContent = "live"; } refresh(); };
    stream.onerror = () => { if (sign) { sign.classList.remove("on"); sign.textContent = "connecting"; } };
    stream.addEventListener("changed", refresh);
  };
  addEventListener("pagehide", () => stream.close());
  addEventListener("pageshow", (event) => { if (event.persisted) listen(); });
  listen();
})();
