// Links of Alertmanager's pages, which messages and dashboards carry, lead to the same things here.
{
  const base = document.body.dataset.base || "";
  const [place, query] = location.hash.slice(1).split("?");
  const asked = new URLSearchParams(query);
  if (place === "/silences/new") location.replace(base + "/silences?" + new URLSearchParams({ matchers: asked.get("filter") || "" }));
  else if (place.startsWith("/silences")) location.replace(base + "/silences");
  else if (place.startsWith("/status")) location.replace(base + "/rules");
  else if (place.startsWith("/alerts") && (asked.has("filter") || asked.has("receiver"))) {
    location.replace(base + "/?" + new URLSearchParams([...asked].filter(([name]) => name === "filter" || name === "receiver")));
  }
}
// Keeps a page live: when the engine says that something changed, the page is fetched again and what differs in its marked
// parts is changed in place. What stays the same stays as it is, with focus, selection, scroll position, what is unfolded
// and what somebody is typing.
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
  // What a form answered stands at the form's own address, which cannot be fetched.
  const { base = "", here } = document.body.dataset;
  if (document.querySelector(".mistake[role=alert]")) history.replaceState(null, "", base + here + location.search);
  const become = (old, fresh) => {
    if (old.isEqualNode(fresh)) return;
    if (old.nodeName !== fresh.nodeName) return old.replaceWith(fresh);
    if (old.nodeType !== Node.ELEMENT_NODE) { old.data = fresh.data; return; }
    for (const { name } of [...old.attributes]) if (name !== "open" && !fresh.hasAttribute(name)) old.removeAttribute(name);
    for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    // Children with an id are the same wherever they stand, the others are the same at the same place.
    const named = new Map([...old.children].filter((child) => child.id).map((child) => [child.id, child]));
    const wanted = [...fresh.childNodes], ids = new Set(wanted.map((child) => child.id));
    for (const [id, child] of named) if (!ids.has(id)) child.remove();
    let at = old.firstChild;
    const drop = () => { const gone = at; at = at.nextSibling; gone.remove(); };
    for (const child of wanted) {
      const kept = child.id ? named.get(child.id) : at && !at.id && at.nodeName === child.nodeName && at;
      if (child.id) named.delete(child.id);
      if (!kept) { old.insertBefore(child, at); if (child.querySelectorAll) fill(child); continue; }
      while (at && at !== kept && !at.id) drop();
      if (at === kept) at = at.nextSibling; else old.insertBefore(kept, at);
      become(kept, child);
    }
    while (at) drop();
  };
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
        if (fresh) become(part, fresh);
      }
      document.title = page.title;
    } finally {
      running = false;
      if (again) { again = false; setTimeout(refresh, 150); }
    }
  };
  // A page that was left and is kept for the way back gives its connection up: browsers open six to a server in all.
  let stream, later;
  const listen = () => {
    stream = new EventSource(document.body.dataset.stream || base + "/api/watchfire/v1/stream");
    stream.onopen = () => { if (sign) { sign.classList.add("on"); sign.textContent = "live"; } refresh(); };
    stream.onerror = () => {
      if (sign) { sign.classList.remove("on"); sign.textContent = "connecting"; }
      // A browser asks again by itself where nobody answered, and not where it was refused, as by an engine that starts.
      if (stream.readyState === EventSource.CLOSED) later = setTimeout(listen, 2000);
    };
    stream.addEventListener("changed", refresh);
  };
  addEventListener("pagehide", () => { clearTimeout(later); stream.close(); });
  addEventListener("pageshow", (event) => { if (event.persisted) listen(); });
  listen();
})();
