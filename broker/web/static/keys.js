// Keys are a short way to what the page has anyway: each presses a button or follows a link of it.
// No key acts while somebody writes in a field, or before the page has been there long enough to be
// seen: whoever presses a key twice decides once.
"use strict";
(() => {
  const SEEN_MS = 500;
  const opened = performance.now();
  const careful = [...document.querySelectorAll("[data-careful]")];
  for (const button of careful) button.disabled = true;
  setTimeout(() => { for (const button of careful) button.disabled = false; }, SEEN_MS);
  addEventListener("pageshow", (event) => {
    // Out of the browser's cache comes what was: what is now is on the broker.
    if (event.persisted) location.reload();
  });

  // On a phone the navigation is wider than the screen: where one is should be seen.
  document.querySelector("header nav [aria-current]")?.scrollIntoView({ inline: "center", block: "nearest" });

  const rows = () => [...document.querySelectorAll("#rows .row a")];

  function step(by) {
    const links = rows();
    if (!links.length) {
      document.querySelector(`.step[data-key="${by > 0 ? "j" : "k"}"]`)?.click();
      return;
    }
    const at = links.indexOf(document.activeElement);
    const next = at < 0 ? (by > 0 ? 0 : links.length - 1) : at + by;
    links[Math.max(0, Math.min(next, links.length - 1))].focus();
  }

  function press(key) {
    const found = [...document.querySelectorAll(`[data-key="${key}"]`)];
    const target = key === "u" ? found[0] : found.find((one) => !one.classList.contains("step"));
    if (!target || target.disabled) return;
    if (target.matches("input")) {
      target.focus();
      target.scrollIntoView({ block: "nearest" });
    } else if (target.matches("summary")) {
      target.parentElement.open = true;
      target.parentElement.querySelector("input:not([type=hidden])")?.focus();
    } else {
      target.click();
    }
  }

  function toggle(id) {
    const details = document.getElementById(id);
    if (!details) return false;
    details.open = !details.open || id === "filter";
    if (id === "filter") details.querySelector("select, input:not([type=hidden])")?.focus();
    return true;
  }

  document.addEventListener("keydown", (event) => {
    const inField = event.target.closest?.("input:not([type=checkbox]), select, textarea");
    if (event.key === "Escape") {
      const help = document.getElementById("keys");
      if (help?.open) help.open = false;
      else if (inField) inField.blur();
      return;
    }
    if (inField || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (event.key === "j" || event.key === "k") {
      if (rows().length === 0 && (event.repeat || performance.now() - opened < SEEN_MS)) return;
      event.preventDefault();
      step(event.key === "j" ? 1 : -1);
    } else if (event.key === "?") {
      event.preventDefault();
      toggle("keys");
    } else if (event.key === "/") {
      if (toggle("filter")) event.preventDefault();
    } else if (event.key === "q") {
      document.querySelector("header .brand")?.click();
    } else if ("aerstgu".includes(event.key) && event.key.length === 1) {
      if (event.repeat || performance.now() - opened < SEEN_MS) return;
      event.preventDefault();
      press(event.key);
    }
  });

  // What is opened counts as opened; who reads without scripts ticks it.
  for (const details of document.querySelectorAll("details[data-opens]")) {
    details.addEventListener("toggle", () => {
      if (!details.open) return;
      const box = document.querySelector(`input[name=opened][value="${CSS.escape(details.dataset.opens)}"]`);
      if (box) box.checked = true;
    });
  }

  // Times are told in UTC; here they are told in the reader's own zone, and in UTC to the pointer.
  for (const time of document.querySelectorAll("time[datetime]:not([data-form])")) {
    const at = new Date(time.dateTime);
    if (!Number.isNaN(at.valueOf())) time.textContent = at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  }

  for (const shown of document.querySelectorAll("[data-countdown]")) {
    const until = performance.now() + Number(shown.dataset.countdown) * 1000;
    const tick = () => {
      const left = Math.max(0, Math.ceil((until - performance.now()) / 1000));
      shown.textContent = `${left} s`;
      if (left > 0) setTimeout(tick, 250);
      else shown.closest("button").disabled = true;
    };
    tick();
  }
})();
