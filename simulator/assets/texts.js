// Text messages and WhatsApp: two threads that look alike, what can be tapped in them, and files.
"use strict";

const REASONS = {
  21610: "this phone opted out", 30003: "the phone was off", 30005: "no such number", 30006: "a landline",
  63016: "the window is closed", 63021: "WhatsApp refused its form", 63024: "not on WhatsApp",
};
const STATES = { queued: "on its way", sending: "on its way", sent: "on its way", delivered: "arrived", read: "read" };
const LONGEST_FILE = 10 * 1024 * 1024;

document.addEventListener("phone", (event) => {
  const open = event.detail;
  drawThread("texts", open.texts, textLine);
  $("no-texts").hidden = open.texts.length > 0;
  $("no-texts").textContent = `Nothing here yet. Write to ${$("to").value} to reach the hotline.`;
  $("sms-line").hidden = $("to").options.length < 2;
  if (open.whatsapp) drawWhatsApp(open.whatsapp);
});

function drawWhatsApp(chat) {
  const lines = Object.keys(chat.windows);
  drawThread("chat", chat.messages, textLine);
  $("no-chat").hidden = chat.messages.length > 0;
  $("no-chat").textContent = `Nothing here yet. Write to ${$("wa-to").value} to reach the hotline.`;
  $("wa-line").hidden = lines.length < 2;
  $("wa-compose").hidden = lines.length === 0;
  $("hides").checked = chat.hides_number;
  $("account").textContent = chat.account;
  const until = lines.map((line) => chat.windows[line]).filter(Boolean).sort().pop();
  const isOpen = Boolean(until) && new Date(until) > new Date();
  $("window").textContent = isOpen
    ? `Open until ${day(until)}: the hotline may answer in its own words.`
    : "Closed: only approved notices arrive. The rest fails with 63016 until this phone writes.";
  $("window").classList.toggle("shut", !isOpen);
  $("window-turn").textContent = isOpen ? "Close now" : "Open now";
  $("window-turn").onclick = () => send("/sim/window", { number: chosen(), open: !isOpen });
}

const day = (text) => new Date(text).toLocaleString([], { weekday: "short", hour: "2-digit", minute: "2-digit" });

// A message that did not change keeps its place on the page, so that nobody's sound stops and no list closes.
function drawThread(id, rows, line) {
  const box = $(id);
  const before = box.shown || new Map();
  box.shown = new Map();
  for (const row of rows) {
    const key = JSON.stringify(row);
    box.shown.set(key, before.get(key) || [line(row)].flat());
  }
  let at = box.firstChild;
  for (const node of [...box.shown.values()].flat()) {
    if (node === at) at = at.nextSibling;
    else box.insertBefore(node, at);
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
  box.hidden = rows.length === 0;
  const last = rows.length ? JSON.stringify(rows[rows.length - 1]) : "";
  if (last && !before.has(last)) box.scrollTop = box.scrollHeight;
}

function textLine(message) {
  const item = make("li", "", message.mine ? "me" : "them");
  const bubble = make("div", "", message.error ? "bubble lost" : "bubble");
  bubble.append(...message.media.map((file) => shownFile(`/sim/files/${file.sid}`, file)));
  if (message.body || !message.media.length) bubble.append(words(message.body || "(taken away)"));
  bubble.append(make("span", [clock(message.at), stateOf(message)].filter(Boolean).join(" · "), "when"));
  item.append(bubble, taps(message));
  return item;
}

function stateOf(message) {
  if (message.mine) return "";
  if (message.error) return `did not arrive: ${message.error}${REASONS[message.error] ? `, ${REASONS[message.error]}` : ""}`;
  return STATES[message.status] || message.status;
}

function words(text) {
  const line = make("span", text, "words");
  line.dir = "auto";
  return line;
}

// The buttons of a WhatsApp message, or its list behind the button that opens it.
function taps(message) {
  const row = make("div", "", "buttons");
  const buttons = message.options.map((option, index) => {
    const button = make("button", option.title, "tap");
    button.type = "button";
    button.dir = "auto";
    if (option.description) {
      const more = make("small", option.description);
      more.dir = "auto";
      button.append(more);
    }
    button.disabled = Boolean(message.error);
    button.onclick = () => send("/sim/tap", { message: message.sid, index });
    return button;
  });
  if (!message.list) {
    row.append(...buttons);
    return row;
  }
  const list = make("details", "", "picker");
  const opener = make("summary", `☰ ${message.list}`);
  opener.dir = "auto";
  list.append(opener, ...buttons);
  row.append(list);
  return row;
}

// Files

function shownFile(address, file) {
  const name = file.name || "a file";
  if (/^image\/(jpeg|png|gif|webp)$/.test(file.content_type)) {
    const picture = make("img");
    picture.src = address;
    picture.alt = `Picture ${file.name || ""}`.trim();
    return picture;
  }
  if (file.content_type.startsWith("audio/")) {
    const player = make("audio");
    player.controls = true;
    player.preload = "none";
    player.src = address;
    return player;
  }
  const link = make("a", file.size ? `${name} (${Math.ceil(file.size / 1024)} kB)` : name, "file");
  link.href = address;
  link.download = file.name || "";
  return link;
}

function asFile(blob) {
  return new Promise((done) => {
    const reader = new FileReader();
    reader.onload = () => done({ name: blob.name, content_type: blob.type, data: reader.result.split(",")[1] || "" });
    reader.readAsDataURL(blob);
  });
}

// How a file leaves the phone: for each part of the page, what is done with "picture", "voice" or one's own file.
const attaching = {
  texts: (file) => sendText("to", "text", "", [file]),
  whatsapp: (file) => sendText("wa-to", "wa-text", "whatsapp:", [file]),
};

for (const place of document.querySelectorAll("[data-attach]")) {
  const give = (file) => attaching[place.dataset.attach](file);
  for (const [label, sample] of [["Picture", "picture"], ["Voice", "voice"]]) {
    const button = make("button", label, "quiet small");
    button.type = "button";
    button.onclick = () => give(sample);
    place.append(button);
  }
  const label = make("label", "", "quiet small own");
  const input = make("input", "", "hide");
  input.type = "file";
  input.onchange = async () => {
    const [blob] = input.files;
    input.value = "";
    if (!blob) return;
    if (!blob.size || blob.size > LONGEST_FILE) toast("A file may have up to 10 MB.", true);
    else give(await asFile(blob));
  };
  label.append(input, "File…");
  place.append(label);
}

// What the holder writes

async function sendText(to, text, prefix, media = []) {
  const body = $(text).value.trim();
  if (!body && !media.length) return $(text).focus();
  const line = prefix + $(to).value;
  const done = await send("/sim/sms", { from: chosen(), to: line, body, media });
  if (done) $(text).value = "";
  return undefined;
}

// Enter sends, Shift and Enter begins a line, and a word that is still being put together is left alone.
function sendsWithEnter(text, form) {
  $(text).onkeydown = (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); $(form).requestSubmit(); }
  };
}

$("compose").onsubmit = (event) => { event.preventDefault(); sendText("to", "text", ""); };
$("wa-compose").onsubmit = (event) => { event.preventDefault(); sendText("wa-to", "wa-text", "whatsapp:"); };
$("to").onchange = $("wa-to").onchange = () => draw();
$("hides").onchange = () => send(`/sim/handsets/${encodeURIComponent(chosen())}`, { hides_number: $("hides").checked }, "PATCH");
sendsWithEnter("text", "compose");
sendsWithEnter("wa-text", "wa-compose");
