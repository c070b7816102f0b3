/* Keeps a page fresh that shows what happens now. Without it the page works too: reload it.

   <section id="live" data-url="…" data-seconds="3" data-mark="…" data-ask="…">
   With data-ask, that address is asked first for a mark, and the page is only fetched when it differs.
   What somebody is typing into a form with data-keep stays, as long as the new page has that form too. */
"use strict";

const live = document.getElementById("live");
const news = document.getElementById("news");
let loaded = performance.now();

function elapsed(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const two = number => String(number).padStart(2, "0");
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor(whole / 60) % 60;
  return (hours ? `${hours}:${two(minutes)}` : `${minutes}`) + `:${two(whole % 60)}`;
}

function tick() {
  const passed = (performance.now() - loaded) / 1000;
  for (const clock of live.querySelectorAll("[data-elapsed]")) {
    clock.textContent = elapsed(Number(clock.dataset.elapsed) + passed);
  }
}

function typed() {
  const kept = new Map();
  for (const form of live.querySelectorAll("form[data-keep]")) {
    for (const field of form.elements) {
      if (field.name && field.type !== "hidden" && field.type !== "submit") {
        kept.set(`${form.dataset.keep} ${field.name}`, field);
      }
    }
  }
  return kept;
}

function isTyped(kept) {
  return [...kept.values()].some(field => field.tagName === "TEXTAREA" && field.value.trim());
}

function place(fresh) {
  const before = typed();
  const focused = document.activeElement && live.contains(document.activeElement) ? document.activeElement : null;
  const forms = new Set([...fresh.querySelectorAll("form[data-keep]")].map(form => form.dataset.keep));
  if (isTyped(before) && ![...before.keys()].every(key => forms.has(key.split(" ")[0]))) {
    warn("This talk is over elsewhere. Copy your note, then reload the page.");
    return false;
  }
  live.replaceChildren(...fresh.childNodes);
  live.dataset.mark = fresh.dataset.mark || "";
  loaded = performance.now();
  for (const [key, field] of typed()) {
    const old = before.get(key);
    if (!old) continue;
    if (old.type === "checkbox") field.checked = old.checked;
    else field.value = old.value;
    if (old === focused) {
      field.focus({ preventScroll: true });
      if (old.selectionStart !== undefined && old.tagName === "TEXTAREA") {
        field.setSelectionRange(old.selectionStart, old.selectionEnd);
      }
    }
  }
  if (focused && !live.contains(document.activeElement)) {
    // Hands on the keyboard stay in this part of the page, also when their button is gone.
    ((focused.id && document.getElementById(focused.id)) || live).focus({ preventScroll: true });
  }
  return true;
}

function say(words) {
  if (news && news.textContent !== words) news.textContent = words;
}

function warn(words) {
  say(words);
  if (news) news.className = "notice wrong";
}

async function look() {
  const { url, ask, mark } = live.dataset;
  if (ask) {
    const answer = await fetch(ask, { headers: { Accept: "application/json" } });
    if (answer.redirected || !answer.ok) return ended(answer);
    if ((await answer.json()).mark === mark) return true;
  }
  const answer = await fetch(url);
  if (answer.redirected || !answer.ok) return ended(answer);
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const fresh = page.getElementById("live");
  if (!fresh) return false;
  const told = fresh.dataset.news;
  const changed = told && told !== live.dataset.news;
  if (!place(fresh)) return false;
  live.dataset.news = told || "";
  if (changed) say(told);
  return true;
}

function ended(answer) {
  if (!answer.redirected && answer.status >= 500) return true;
  warn(live.dataset.ended);
  return false;
}

async function watch() {
  let onward = true;
  try {
    onward = await look();
  } catch {
    // The network is away for a moment: asked again at the next turn.
  }
  if (onward) setTimeout(watch, Number(live.dataset.seconds) * 1000);
}

if (live) {
  setInterval(tick, 1000);
  setTimeout(watch, Number(live.dataset.seconds) * 1000);
}
