// The mail part of the phone page: the letters of a person, and the answer that her program sends.
"use strict";

document.addEventListener("phone", (event) => {
  const box = event.detail.mail;
  $("mail").hidden = !box;
  if (!box) return;
  $("mail-address").textContent = box.address;
  $("mail-hotline").textContent = box.hotline;
  $("mail-empty").hidden = box.letters.length > 0;
  const list = $("mail-letters");
  const before = list.dataset.drawn;
  redraw(list, box.letters, () => box.letters.map(letterLine));
  if (list.dataset.drawn !== before) list.scrollTop = list.scrollHeight;
});

function letterLine(letter) {
  const item = make("li", "", letter.mine ? "me" : "them");
  const body = make("span", [letter.subject, letter.text].filter(Boolean).join("\n"));
  body.dir = "auto";
  const when = make("span", clock(letter.at), "when");
  if (letter.mine) {
    item.append(body, when);
    return item;
  }
  const bubble = make("p", "", "bubble");
  bubble.append(body, when);
  item.append(bubble);
  return item;
}

$("mail-compose").onsubmit = async (event) => {
  event.preventDefault();
  const anew = event.submitter && event.submitter.value === "anew";
  const path = `/sim/mail/${encodeURIComponent(chosen())}/write`;
  const done = await send(path, { text: $("mail-text").value, anew: Boolean(anew) });
  if (done) $("mail-text").value = "";
};
