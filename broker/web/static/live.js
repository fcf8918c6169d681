// A page stays live by names alone: the stream says which hold has moved, and what is new of it is
// asked for anew. Nothing that is there moves while somebody is at it: a row that is decided turns
// grey where it is, and one that is new comes in below whatever has the focus or the pointer, or
// waits above until it is asked for.
"use strict";
(() => {
  const TOGETHER_MS = 120;
  const RESYNC = "";

  const hold = document.getElementById("moved");
  if (hold) {
    const look = () => htmx.ajax("GET", `/${hold.dataset.hold}/moved?etag=${hold.dataset.etag}`, { target: hold, swap: "innerHTML" });
    document.addEventListener("hold", (event) => {
      if (event.detail.data === hold.dataset.hold || event.detail.data === RESYNC) look();
    });
    again(hold, look);
    out(hold, hold);
  }

  const live = document.getElementById("live");
  if (!live) return;
  const body = document.getElementById("rows");
  const arrivals = document.getElementById("arrivals");
  const arrived = document.getElementById("arrived");
  const names = new Set();
  const kept = new Set();
  let due = 0;

  document.addEventListener("hold", (event) => {
    if (event.detail.data === RESYNC) {
      offer();
      return;
    }
    names.add(event.detail.data);
    // Many pages are told at once: each asks a little later than another.
    due ||= setTimeout(ask, Math.random() * TOGETHER_MS);
  });
  again(live, () => { if (kept.size === 0) offer("Show what is new"); });
  out(live, arrived);

  async function ask() {
    due = 0;
    const asked = [...names].slice(0, 50);
    for (const name of asked) names.delete(name);
    if (names.size) due = setTimeout(ask, TOGETHER_MS);
    const query = new URLSearchParams(live.dataset.query);
    for (const name of asked) query.append("hold", name);
    await htmx.ajax("GET", `/rows?${query}`, { target: arrivals, swap: "innerHTML" });
    for (const row of [...arrivals.children]) if (row.matches?.("tr.row")) place(row);
    arrivals.replaceChildren();
    count();
  }

  function place(row) {
    const old = document.getElementById(row.id) === row ? null : body.querySelector(`#${CSS.escape(row.id)}`);
    if (old) {
      const focused = old.contains(document.activeElement);
      old.className = row.className;
      Object.assign(old.dataset, row.dataset);
      old.replaceChildren(...row.childNodes);
      if (focused) old.querySelector("a").focus({ preventScroll: true });
      return;
    }
    if (row.dataset.waits !== "1" || row.dataset.shown !== "1") return;
    const rows = [...body.children];
    const next = rows.find((one) => Number(one.dataset.by) > Number(row.dataset.by));
    const held = rows.findLast((one) => one.matches(":hover, :focus-within"));
    if (held && next && rows.indexOf(next) <= rows.indexOf(held)) {
      kept.add(row.dataset.name);
      offer();
      return;
    }
    body.insertBefore(row, next ?? null);
    document.getElementById("queue").classList.remove("empty");
    document.getElementById("nothing").hidden = true;
    say(`${row.querySelector("a").textContent} has come in.`);
  }

  function offer(text) {
    const link = document.createElement("a");
    link.className = "button";
    link.href = location.href;
    link.textContent = text ?? (kept.size ? `${kept.size} new above: show` : "Show what is new");
    arrived.replaceChildren(link);
    arrived.hidden = false;
  }

  function say(text) {
    if (kept.size) return;
    arrived.textContent = text;
    arrived.hidden = false;
  }

  function count() {
    const waiting = body.querySelectorAll('.row[data-waits="1"]').length + kept.size;
    document.getElementById("number").textContent = waiting;
    document.title = document.title.replace(/^\d+/, waiting);
    const which = new URLSearchParams(live.dataset.query);
    if ([...which.keys()].every((key) => key === "mine" || key === "after")) {
      const shown = document.getElementById(which.get("mine") === "1" ? "count-mine" : "count-all");
      if (shown) shown.textContent = waiting;
    }
  }

  // Whose sign-in has ended is not told any more, and should know.
  function out(element, where) {
    element.addEventListener("htmx:sse:error", (event) => {
      if (event.detail.status !== 401 || where.querySelector("[data-out]")) return;
      const link = document.createElement("a");
      link.className = "button";
      link.dataset.out = "";
      link.href = `/sign-in?next=${encodeURIComponent(location.pathname)}`;
      link.textContent = "You are signed out: sign in";
      where.replaceChildren(link);
      where.hidden = false;
    });
  }

  // After a break in the stream nobody knows what was missed.
  function again(element, then) {
    let times = 0;
    element.addEventListener("htmx:sse:after:connection", () => { if (times++ > 0) then(); });
  }
})();
