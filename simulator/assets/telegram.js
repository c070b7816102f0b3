// The Telegram part of the phone page: the chat with the bot, its buttons, and what else a person can do there.
"use strict";

const inChat = (what, body) => send(`/sim/telegram/people/${encodeURIComponent(chosen())}/${what}`, body);
const NAMES = { voice: "voice.ogg", photo: "picture.jpg", document: "file" };
const KINDS = { voice: "audio/ogg", photo: "image/jpeg", document: "application/octet-stream" };

document.addEventListener("phone", (event) => {
  const chat = event.detail.telegram;
  if (!chat) return;
  const open = chat.started && !chat.blocked;
  $("tg-empty").hidden = open && chat.messages.length > 0;
  $("tg-empty").textContent = chat.blocked
    ? "You blocked the bot: nothing of it arrives. START takes it back."
    : `Press START to reach the bot “${chat.bot}”, or open its link ${chat.link}.`;
  if (open) $("tg-empty").textContent = "The chat with the bot is empty.";
  $("tg-begin").hidden = open;
  $("tg-compose").hidden = !open;
  drawThread("tg-chat", chat.messages, chatLine);
});

function chatLine(message) {
  // A deleted message leaves nothing behind, as on a real screen.
  if (message.deleted) return [];
  const item = make("li", "", message.mine ? "me" : "them");
  const bubble = make("div", "", "bubble");
  if (message.file) bubble.append(shownFile(`/sim/telegram/files/${message.file}`, { name: NAMES[message.kind], content_type: KINDS[message.kind] }));
  if (message.text) bubble.append(words(message.text));
  bubble.append(make("span", `${clock(message.at)}${message.edited ? " · edited" : ""}`, "when"));
  item.append(bubble);
  for (const row of message.buttons) item.append(buttonRow(message, row));
  return [item];
}

function buttonRow(message, row) {
  const line = make("div", "", "buttons");
  for (const each of row) {
    const button = make("button", each.text, "tap");
    button.type = "button";
    button.dir = "auto";
    button.onclick = async () => {
      button.disabled = true;
      await inChat("tap", { message_id: message.id, data: each.data });
      button.disabled = false;
    };
    line.append(button);
  }
  return line;
}

$("tg-begin").onsubmit = async (event) => {
  event.preventDefault();
  const written = $("tg-token").value.trim();
  const done = await inChat("start", { token: written.split("start=").pop() });
  if (done) $("tg-token").value = "";
};
$("tg-compose").onsubmit = async (event) => {
  event.preventDefault();
  if (!$("tg-text").value.trim()) return;
  const done = await inChat("text", { text: $("tg-text").value });
  if (done) $("tg-text").value = "";
};
sendsWithEnter("tg-text", "tg-compose");

attaching.telegram = async (file) => {
  const said = $("tg-text").value;
  const [what, body] = file === "voice" ? ["voice", { text: said, seconds: 3 }]
    : file === "picture" ? ["photo", { caption: said }] : ["document", { caption: said, file }];
  if (await inChat(what, body)) $("tg-text").value = "";
};

for (const button of document.querySelectorAll("[data-telegram]")) button.onclick = () => inChat(button.dataset.telegram);
