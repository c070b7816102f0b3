// The phone page: draws the views that the simulator streams, and sends back what the holder does.
"use strict";

const $ = (id) => document.getElementById(id);
const KEYS = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "*", "0", "#"];
let view = { handsets: [], open: null };
let stream = null;
let muted = localStorage.getItem("muted") === "yes";
// How much of which call was already spoken aloud; a call found in mid-sentence is not read from its start.
const heard = new Map();

const TABS = ["phone", "sms", "whatsapp", "telegram", "mail"];

// The address says which handset is open, and which tab of it: #%2B6281…/sms
const chosen = () => decodeURIComponent(location.hash.slice(1).split("/")[0]);
const tabOf = () => { const name = location.hash.split("/")[1]; return TABS.includes(name) ? name : "phone"; };
const show = (number, tab) => { location.hash = number ? `${encodeURIComponent(number)}/${tab}` : ""; };
const total = (unread) => Object.values(unread).reduce((sum, each) => sum + each, 0);

// Talking with the simulator

async function send(path, body, method = "POST") {
  const audio = body instanceof Blob;
  const reply = await fetch(path, {
    method,
    headers: { "Content-Type": audio ? "audio/wav" : "application/json" },
    body: audio ? body : JSON.stringify(body || {}),
  }).catch(() => null);
  if (!reply) return toast("The simulator does not answer.", true);
  const data = await reply.json().catch(() => ({}));
  if (!reply.ok) toast(data.error || "That did not work.", true);
  return reply.ok ? data : undefined;
}

const act = (what, body) => send(`/sim/handsets/${encodeURIComponent(chosen())}/${what}`, body);

function connect() {
  if (stream && stream.number === chosen()) return;
  if (stream) stream.close();
  stream = new EventSource(`/sim/live?open=${encodeURIComponent(chosen())}`);
  stream.number = chosen();
  stream.onopen = () => { $("lost").hidden = true; };
  stream.onerror = () => { $("lost").hidden = false; };
  stream.onmessage = (event) => { view = JSON.parse(event.data); draw(); };
}

function toast(text, bad = false) {
  const line = make("p", text, bad ? "bad" : "");
  line.dir = "auto";
  $("toasts").append(line);
  setTimeout(() => line.remove(), 6000);
}

function make(tag, text = "", name = "") {
  const node = document.createElement(tag);
  node.textContent = text;
  if (name) node.className = name;
  return node;
}

// Only what changed is drawn anew, so that focus, scrolling and a half-written text stay.
function redraw(node, data, nodes) {
  const key = JSON.stringify(data);
  if (node.dataset.drawn === key) return;
  node.dataset.drawn = key;
  node.replaceChildren(...nodes());
}

// Drawing

const clock = (text) => new Date(text).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });

function draw() {
  drawList();
  drawPhone();
  const ringing = view.handsets.some((each) => each.call === "ringing" && each.direction !== "inbound");
  const mine = view.open && view.open.manual && view.open.call === "ringing" && view.open.direction !== "inbound";
  ringTone(Boolean(mine));
  document.title = ringing ? "☎ Ringing – Make-believe phones" : "Make-believe phones";
}

function drawList() {
  $("list-empty").hidden = view.handsets.length > 0;
  $("hidden-count").hidden = !view.hidden;
  $("hidden-count").textContent = view.hidden ? `and ${view.hidden} more that are not shown` : "";
  const held = document.activeElement && document.activeElement.dataset.number;
  redraw($("handsets"), [view.handsets, chosen()], () => view.handsets.map(listRow));
  if (held) [...document.querySelectorAll("#handsets button")].find((row) => row.dataset.number === held)?.focus();
}

function listRow(handset) {
  const row = make("button");
  row.type = "button";
  row.dataset.number = handset.number;
  row.setAttribute("aria-current", String(handset.number === chosen()));
  row.onclick = () => {
    // What is new is shown at once.
    const tab = handset.number !== chosen() && TABS.find((each) => handset.unread[each] && each !== "phone");
    show(handset.number, tab || tabOf());
    $("phone").focus();
  };
  // Letters in place of a flag: half of all machines have no flags in their fonts.
  const sign = make("span", handset.country || "☎", "flag");
  sign.setAttribute("aria-hidden", "true");
  const title = make("span", handset.name || handset.number, "title");
  title.dir = "auto";
  const sub = make("span", "", "sub");
  const number = make("span", handset.name ? handset.number : "unlisted", "mono");
  sub.append(number, handset.language ? ` · ${languageName(handset.language)}` : "");
  row.append(sign, title, badge(handset), sub);
  const item = make("li");
  item.append(row);
  return item;
}

function badge(handset) {
  if (handset.call === "ringing" && handset.direction !== "inbound") return make("span", "rings", "badge");
  if (handset.call) return make("span", "in a call", "badge talk");
  const unread = total(handset.unread);
  return unread ? make("span", `${unread} new`, "badge") : make("span");
}

function languageName(code) {
  try { return new Intl.DisplayNames(["en"], { type: "language" }).of(code); } catch { return code; }
}

function drawPhone() {
  const open = view.open && view.open.number === chosen() ? view.open : null;
  document.body.classList.toggle("holding", Boolean(chosen()));
  $("body").hidden = !open;
  $("no-phone").hidden = Boolean(open);
  $("no-phone").textContent = chosen() ? "No handset has this number." : "Choose a handset to hold it.";
  if (!open) return hush();
  $("name").textContent = open.name || open.number;
  $("name").lang = open.language;
  $("number").textContent = open.name ? open.number : "";
  if (document.activeElement !== $("script")) $("script").value = open.script;
  $("note").hidden = !open.note;
  $("note").textContent = open.note;
  drawCall(open);
  document.dispatchEvent(new CustomEvent("phone", { detail: open }));
  drawEarlier(open);
  drawTabs(open);
  if (open.unread[tabOf()] && !document.hidden) act("read", { tab: tabOf() });
}

function drawCall(open) {
  const live = open.live;
  const ringing = Boolean(live && live.direction !== "inbound" && live.status === "ringing");
  $("ringing").hidden = !(ringing && open.manual);
  $("caller").textContent = live ? live.other : "";
  $("calling").hidden = !live || (ringing && open.manual);
  $("hotline").hidden = Boolean(live);
  if (!live) return hush();
  const talking = live.status === "in-progress";
  $("doing").textContent = doing(live);
  $("keypad").hidden = !(open.manual && talking);
  $("robot").hidden = open.manual;
  $("speech").hidden = !(open.manual && talking && mayspeak(live));
  document.querySelector(".dot").classList.toggle("rec", live.doing === "record" || live.doing === "speech");
  const box = $("transcript");
  const low = box.scrollHeight - box.scrollTop - box.clientHeight < 60;
  redraw(box, live.steps, () => live.steps.map(stepLine).filter(Boolean));
  if (low) box.scrollTop = box.scrollHeight;
  sound(open, live);
}

function mayspeak(live) {
  if (["record", "speech", "talk"].includes(live.doing)) return true;
  const last = live.steps.filter((step) => step.kind === "gather" || step.kind === "document").pop();
  return Boolean(last && last.kind === "gather" && last.input.includes("speech"));
}

function doing(live) {
  if (live.status === "ringing") return live.direction === "inbound" ? `Calling ${live.other}…` : "Ringing…";
  if (live.status !== "in-progress") return "Connecting…";
  if (live.doing === "talk") return live.joined.length ? `Talking with ${live.joined.join(", ")}` : "Alone on the line";
  if (live.doing === "waiting") return "Waiting for somebody to come on the line";
  if (live.doing === "dial") return "The other phone rings";
  return { record: "Recording: speak now", speech: "Recording…", gather: "Waiting for a key" }[live.doing] || "In a call";
}

function stepLine(step) {
  const line = (text, name = "fact") => { const p = make("p", text, name); p.dir = "auto"; return p; };
  switch (step.kind) {
    case "say": { const p = line(step.text, "them"); p.lang = step.language; return p; }
    case "play": return line(`♪ a recorded text, ${Math.round(step.seconds)} s`, "them");
    case "keys": return line(`pressed ${step.digits}${step.finished_on && step.finished_on !== step.digits ? step.finished_on : ""}`, "me");
    case "speech": return line(step.text || "(spoken into the microphone)", "me");
    case "pause": return line(`silence, ${step.seconds} s`);
    case "record": return line(step.beep ? "beep – recording" : "recording");
    case "recording": return line(`recording kept, ${step.seconds} s`);
    case "no-input": return line("no answer was given");
    case "dial": return line("being put through");
    case "music": return line("♪ music while waiting", "them");
    case "joined": return line("somebody is on the line");
    case "heard": return line(step.text || "(spoken into the microphone)", "them");
    case "hold": return line("put on hold");
    case "unhold": return line("back on the line");
    case "left": return line("nobody else is on the line any more");
    case "reject": return line("the call was refused");
    case "error": return line(`error ${step.code}: ${step.reason}`);
    case "hangup": return line({ callee: "you hung up", document: "the other side hung up", other: "the other side hung up", api: "the other side ended the call", limit: "the longest time was reached" }[step.by] || "ended");
    default: return null;
  }
}

// Tabs: what the simulator was not configured for has none.
function drawTabs(open) {
  const there = { phone: true, sms: $("to").options.length > 0, whatsapp: open.whatsapp, telegram: open.telegram, mail: open.mail };
  const current = there[tabOf()] ? tabOf() : "phone";
  for (const name of TABS) {
    const tab = $(`tab-${name}`);
    const unread = open.unread[name] || 0;
    tab.hidden = !there[name];
    tab.setAttribute("aria-selected", String(name === current));
    tab.tabIndex = name === current ? 0 : -1;
    const count = tab.querySelector(".count");
    count.textContent = unread && name !== current ? unread : "";
    count.title = count.textContent ? `${unread} new` : "";
    const panel = $(`panel-${name}`);
    if (panel.hidden !== (name !== current)) {
      panel.hidden = name !== current;
      if (!panel.hidden) tab.scrollIntoView({ block: "nearest", inline: "nearest" });
      const thread = panel.querySelector(".thread");
      if (thread) thread.scrollTop = thread.scrollHeight;
    }
  }
}

$("tabs").onclick = (event) => {
  const tab = event.target.closest("[role=tab]");
  if (tab) show(chosen(), tab.id.slice(4));
};
$("tabs").onkeydown = (event) => {
  const there = TABS.filter((name) => !$(`tab-${name}`).hidden);
  const at = there.indexOf(document.activeElement.id.slice(4));
  const next = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: there.length - 1 }[event.key];
  if (at < 0 || next === undefined) return;
  event.preventDefault();
  const name = there[(next + there.length) % there.length];
  show(chosen(), name);
  $(`tab-${name}`).focus();
};

function drawEarlier(open) {
  $("no-calls").hidden = open.calls.length > 0;
  redraw($("calls"), open.calls, () => [...open.calls].reverse().map((call) => {
    const box = make("details");
    const way = call.direction === "inbound" ? "to" : "from";
    const length = call.duration === null ? "" : `, ${call.duration} s`;
    box.append(make("summary", `${clock(call.at)} ${way} ${call.other}: ${call.status}${length}`));
    const script = make("div", "", "transcript");
    script.append(...call.steps.flatMap((step) => [stepLine(step), recordingPlayer(step)]).filter(Boolean));
    box.append(script);
    return box;
  }));
}

function recordingPlayer(step) {
  if (step.kind !== "recording") return null;
  const player = make("audio");
  player.controls = true;
  player.preload = "none";
  player.src = `/sim/recordings/${step.sid}.wav`;
  return player;
}

// Sound

let context = null;
let bell = null;
const playing = new Audio();
let queue = Promise.resolve();
let speaking = "";
// What was queued before the last interruption is not spoken after it.
let turn = 0;

const audible = () => {
  context = context || new AudioContext();
  if (context.state === "suspended") context.resume();
  return context;
};

function ringTone(on) {
  if (on && !bell && !muted) {
    beep(440, 0.8, 0.25);
    bell = setInterval(() => beep(440, 0.8, 0.25), 2000);
    if (navigator.vibrate && navigator.userActivation && navigator.userActivation.hasBeenActive) navigator.vibrate([400, 200, 400]);
  } else if ((!on || muted) && bell) {
    clearInterval(bell);
    bell = null;
  }
}

function beep(pitch, seconds, volume = 0.12) {
  // A browser keeps silent until its page was touched once; the ringing is to be seen all the same.
  if (muted || (navigator.userActivation && !navigator.userActivation.hasBeenActive)) return;
  const source = audible().createOscillator();
  const gain = context.createGain();
  gain.gain.value = volume;
  source.frequency.value = pitch;
  source.connect(gain).connect(context.destination);
  source.start();
  source.stop(context.currentTime + seconds);
}

function sound(open, live) {
  if (speaking !== live.sid) { hush(); speaking = live.sid; }
  const from = heard.has(live.sid) ? heard.get(live.sid) : Math.max(0, live.steps.length - 1);
  const fresh = live.steps.filter((step) => step.n >= from && step.n < Infinity);
  if (live.steps.length) heard.set(live.sid, live.steps[live.steps.length - 1].n + 1);
  else if (!heard.has(live.sid)) heard.set(live.sid, 0);
  if (live.status !== "in-progress") return;
  for (const step of fresh) {
    if (["keys", "document", "hangup"].includes(step.kind)) hush(live.sid);
    const now = turn;
    const next = (work) => { queue = queue.then(() => (now === turn && !muted ? work() : undefined)); };
    if (step.kind === "say") next(() => say(step.text, step.language));
    if (step.kind === "heard") next(() => say(step.text, open.language || "en"));
    if (step.kind === "joined") next(() => beep(700, 0.2));
    if (step.kind === "play") next(() => play(`/sim/audio/${step.audio}`));
    if (step.kind === "record" && step.beep) next(() => beep(1000, 0.4));
  }
}

function hush(sid = "") {
  speaking = sid;
  turn += 1;
  queue = Promise.resolve();
  if (window.speechSynthesis) speechSynthesis.cancel();
  playing.pause();
}

function say(text, language) {
  if (!window.speechSynthesis) return undefined;
  const base = language.split("-")[0];
  const voice = speechSynthesis.getVoices().find((each) => each.lang.replace("_", "-").startsWith(base));
  if (!voice) return undefined;
  return new Promise((done) => {
    const words = new SpeechSynthesisUtterance(text);
    words.voice = voice;
    words.lang = voice.lang;
    words.onend = words.onerror = done;
    speechSynthesis.speak(words);
  });
}

function play(address) {
  return new Promise((done) => {
    playing.src = address;
    playing.onended = playing.onerror = playing.onpause = done;
    playing.play().catch(done);
  });
}

// The microphone, kept as a plain WAV because that is what a telephone recording is

let taking = null;

async function listen() {
  if (taking) return taking.stop();
  let source;
  try {
    source = await navigator.mediaDevices.getUserMedia({ audio: true });
  } catch {
    return toast("The microphone cannot be used. Type what you would say.", true);
  }
  act("breathe", { on: true });
  const graph = audible();
  const input = graph.createMediaStreamSource(source);
  const tap = graph.createScriptProcessor(4096, 1, 1);
  const parts = [];
  tap.onaudioprocess = (event) => parts.push(new Float32Array(event.inputBuffer.getChannelData(0)));
  input.connect(tap).connect(graph.destination);
  $("microphone").textContent = "Stop and send";
  taking = {
    stop() {
      taking = null;
      tap.disconnect();
      input.disconnect();
      source.getTracks().forEach((track) => track.stop());
      $("microphone").textContent = "Use the microphone";
      act("speak", wav(parts, graph.sampleRate));
    },
  };
  return undefined;
}

function wav(parts, rate) {
  const every = Math.max(1, Math.round(rate / 8000));
  const all = parts.flatMap((part) => [...part]).filter((_, index) => index % every === 0);
  const data = new DataView(new ArrayBuffer(44 + all.length * 2));
  const word = (at, text) => [...text].forEach((letter, index) => data.setUint8(at + index, letter.charCodeAt(0)));
  const pace = Math.round(rate / every);
  word(0, "RIFF"); data.setUint32(4, 36 + all.length * 2, true); word(8, "WAVEfmt ");
  data.setUint32(16, 16, true); data.setUint16(20, 1, true); data.setUint16(22, 1, true);
  data.setUint32(24, pace, true); data.setUint32(28, pace * 2, true); data.setUint16(32, 2, true); data.setUint16(34, 16, true);
  word(36, "data"); data.setUint32(40, all.length * 2, true);
  all.forEach((value, index) => data.setInt16(44 + index * 2, Math.max(-1, Math.min(1, value)) * 32767, true));
  return new Blob([data], { type: "audio/wav" });
}

// What the holder does

function press(key) {
  beep(600 + 60 * KEYS.indexOf(key), 0.12);
  const button = [...$("keypad").children].find((each) => each.textContent === key);
  button.classList.add("down");
  setTimeout(() => button.classList.remove("down"), 150);
  act("keys", { keys: key });
}

for (const key of KEYS) {
  const button = make("button", key);
  button.type = "button";
  button.setAttribute("aria-label", { "*": "star", "#": "hash" }[key] || key);
  button.onclick = () => press(key);
  $("keypad").append(button);
}

document.addEventListener("keydown", (event) => {
  const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName);
  if (typing || event.ctrlKey || event.metaKey || event.altKey || $("calling").hidden || $("keypad").hidden) return;
  if (KEYS.includes(event.key)) { event.preventDefault(); press(event.key); }
});

$("answer").onclick = () => { audible(); act("answer"); };
$("decline").onclick = () => act("decline");
$("voicemail").onclick = () => act("answer", { by: "machine" });
$("hangup").onclick = () => act("hangup");
$("back").onclick = () => show("", "");
$("microphone").onclick = listen;
$("words").oninput = () => act("breathe", { on: $("words").value !== "" });
$("speech").onsubmit = (event) => {
  event.preventDefault();
  act("speak", { text: $("words").value, seconds: Number($("seconds").value) });
  $("words").value = "";
};
$("hotline").onsubmit = (event) => {
  event.preventDefault();
  audible();
  send("/sim/call", { from: chosen(), to: $("callee").value, script: "manual" });
};
$("script").onchange = () => send(`/sim/handsets/${encodeURIComponent(chosen())}`, { script: $("script").value }, "PATCH");
$("mute").onclick = () => { muted = !muted; localStorage.setItem("muted", muted ? "yes" : "no"); drawMute(); if (muted) hush(speaking); draw(); };

function drawMute() {
  $("mute").textContent = muted ? "Sound off" : "Sound on";
  $("mute").setAttribute("aria-pressed", String(muted));
}

for (const button of document.querySelectorAll("[data-action]")) {
  button.onclick = async () => {
    button.disabled = true;
    const done = await send(`/sim/actions/${button.dataset.action}`);
    button.disabled = false;
    if (done) toast(done.message || (done.ok ? "Done." : `Refused (${done.status}).`), !done.ok);
  };
}

// What was half written on one phone is not sent from another.
const drafts = new Map();
let held = chosen();

function keepDrafts() {
  if (held === chosen()) return;
  const fields = [...document.querySelectorAll("#body textarea, #body input:not([type=number], [type=checkbox], [type=file])")];
  drafts.set(held, fields.map((field) => field.value));
  held = chosen();
  const kept = drafts.get(held) || [];
  fields.forEach((field, index) => { field.value = kept[index] || ""; });
  document.dispatchEvent(new Event("changed-hands"));
}

window.addEventListener("hashchange", () => { keepDrafts(); connect(); draw(); });
document.addEventListener("visibilitychange", () => { if (!document.hidden) draw(); });
drawMute();
connect();
