// Rivermill: sends a page's events; keeps them while it cannot.  See docs/rest.md.
(() => {
  const { url, key, country, auto } = document.currentScript.dataset;
  const PREFIX = "rivermill:", HALF_HOUR = 18e5, MOST_BYTES = 6e4; // a closing page may send 64 KB
  const kept = new Map(), sending = new Set();
  let failures = 0, most = 100, timer;

  const id = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), b => b.toString(16).padStart(2, 0)).join("");
  const store = (name, value) => {
    try { return value === undefined ? localStorage.getItem(name) : localStorage.setItem(name, value); }
    catch { return value === undefined ? null : kept.set(name, value); }
  };
  const drop = name => { kept.delete(name); try { localStorage.removeItem(name); } catch {} };
  const queued = () => {
    let names = [];
    try { names = Object.keys(localStorage).filter(name => name.startsWith(PREFIX + "e:")); } catch {}
    return [...new Set([...names, ...kept.keys()])].filter(name => !sending.has(name)).sort();
  };
  const lasting = (name, span) => {
    const [value, at] = (store(PREFIX + name) || "").split(" ");
    const fresh = value && Date.now() - at < span ? value : id();
    store(PREFIX + name, fresh + " " + Date.now());
    return fresh;
  };
  const later = wait => { clearTimeout(timer); timer = setTimeout(flush, wait); };

  function take() {
    const taken = [];
    let size = 2;
    for (const name of queued().slice(0, most)) {
      const text = kept.get(name) || store(name);
      size += 1 + new Blob([text]).size;
      if (taken.length && size > MOST_BYTES) break;
      if (text) taken.push([name, text]); // else another tab has sent it
    }
    return taken;
  }

  async function flush() {
    const taken = take(), names = taken.map(each => each[0]);
    if (!taken.length) return;
    names.forEach(name => sending.add(name));
    let status = 0, done = names;
    try {
      const headers = { "content-type": "application/json", "x-api-key": key };
      const body = "[" + taken.map(each => each[1]) + "]";
      const answer = await fetch(url + "batch", { method: "POST", keepalive: true, headers, body });
      status = answer.status;
      const again = (await answer.json()).failed?.filter(each => each.again).map(each => names[each.index]);
      if (again) done = names.filter(name => !again.includes(name));
    } catch {}
    const hopeless = status == 400 || status == 413;
    if (hopeless && names[1]) most = names.length >> 1; // soon the bad one is alone
    else if (status == 200 || hopeless) done.forEach(drop), most = Math.min(100, most * 2);
    names.forEach(name => sending.delete(name));
    failures = (status == 200 && done[0]) || hopeless ? 0 : failures + 1;
    later(failures && Math.min(6e4, 500 * 2 ** failures) * (0.5 + Math.random() / 2));
  }

  function track(event, fields) {
    const event_id = lasting("session", HALF_HOUR) + "." + id();
    const event_time = new Date().toISOString();
    const user_id = rivermill.user || lasting("user", Infinity);
    const name = PREFIX + "e:" + event_time + event_id;
    store(name, JSON.stringify({ event, event_id, event_time, user_id, ...fields }));
    if (!failures) later(500);
    return event_id;
  }

  function page() {
    const { userAgent, language } = navigator;
    const device = /iPad|Tablet/.test(userAgent) ? "tablet" : /Mobi/.test(userAgent) ? "mobile" : "desktop";
    const region = country || language.match(/-([A-Z]{2})$/)?.[1] || "ZZ";
    const referrer = document.referrer || null;
    return track("page_view", { page: location.pathname, device, country: region, referrer });
  }

  window.rivermill = { track, page, flush, user: "" };
  addEventListener("online", () => { failures = 0; flush(); });
  addEventListener("visibilitychange", () => document.hidden && flush());
  if (auto != "off") page();
  flush();
})();
