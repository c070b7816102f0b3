// The Telegram part of the phone page: the chat with the bot, its buttons, and what else a person can do there.
"use strict";

const inChat = (what, body) => send(`/sim/telegram/people/${encodeURIComponent(chosen())}/${what}`, body);

document.addEventListener("phone", (event) => {
  const chat = event.detail.telegram;
  $("telegram").hidden = !chat;
  if (!chat) return;
  const open = chat.started && !chat.blocked;
  $("tg-empty").hidden = chat.messages.length > 0;
  $("tg-begin").hidden = open;
  $("tg-compose").hidden = !open;
  const box = $("tg-chat");
  const before = box.dataset.drawn;
  redraw(box, chat.messages, () => chat.messages.flatMap(chatLine));
  if (box.dataset.drawn !== before) box.scrollTop = box.scrollHeight;
});

function chatLine(message) {
  // A deleted message leaves nothing behind, as on a real screen.
  if (message.deleted) return [];
  const item = make("li", "", message.mine ? "me" : "them");
  const body = make("span", message.text);
  body.dir = "auto";
  const when = make("span", `${clock(message.at)}${message.edited ? " · edited" : ""}`, "when");
  if (message.mine) {
    item.append(body, when);
    return [item];
  }
  const bubble = make("p", "", "bubble");
  bubble.append(body, when);
  item.append(bubble);
  for (const row of message.buttons) item.append(buttonRow(message, row));
  return [item];
}

function buttonRow(message, row) {
  const line = make("div", "", "buttons");
  for (const each of row) {
    const button = make("button", each.text);
    button.type = "button";
    button.dir = "auto";
    button.onclick = () => { button.disabled = true; inChat("tap", { message_id: message.id, data: each.data }); };
    line.append(button);
  }
  return line;
}

$("tg-begin").onsubmit = async (event) => {
  event.preventDefault();
  const done = await inChat("start", { token: $("tg-token").value.trim() });
  if (done) $("tg-token").value = "";
};
$("tg-compose").onsubmit = async (event) => {
  event.preventDefault();
  const done = await inChat("text", { text: $("tg-text").value });
  if (done) $("tg-text").value = "";
};
$("tg-text").onkeydown = (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); $("tg-compose").requestSubmit(); }
};
for (const button of document.querySelectorAll("[data-telegram]")) {
  button.onclick = async () => {
    const what = button.dataset.telegram;
    const words = $("tg-text").value;
    const body = { voice: { text: words, seconds: 4 }, photo: { caption: words } }[what] || {};
    const done = await inChat(what, body);
    if (done && words && (what === "voice" || what === "photo")) $("tg-text").value = "";
  };
}
