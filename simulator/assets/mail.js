// The mail part of the phone page: the letters of a person, and the answers that her program sends.
"use strict";

let box = null;
// The Message-ID of the letter that is answered; empty: the newest one.
let answering = "";
let attached = [];

document.addEventListener("phone", (event) => {
  box = event.detail.mail;
  if (!box) return;
  $("mail-address").textContent = box.address;
  $("mail-empty").hidden = box.letters.length > 0;
  $("mail-empty").textContent = `No mail yet. Write to ${box.hotline} to reach the hotline.`;
  drawThread("mail-letters", box.letters, letterLine);
  drawAbout();
});

document.addEventListener("changed-hands", () => { answering = ""; attached = []; drawFiles(); });

function drawAbout() {
  const came = box.letters.filter((letter) => !letter.mine);
  const asked = came.find((letter) => letter.name === answering) || came[came.length - 1];
  $("mail-reply").hidden = !asked;
  $("mail-anew").className = asked ? "quiet" : "good";
  $("mail-anew").textContent = asked ? "Send as a new mail" : "Send";
  $("mail-about").hidden = !asked;
  $("mail-about").textContent = asked ? `Reply answers “${asked.subject || "(no subject)"}” of ${clock(asked.at)} and quotes it.` : "";
}

function letterLine(letter) {
  const item = make("li", "", letter.mine ? "me" : "them");
  const bubble = make("div", "", "bubble");
  const subject = make("strong", letter.subject || "(no subject)", "subject");
  subject.dir = "auto";
  bubble.append(subject, letter.text || !letter.html ? words(letter.text) : formatted(letter.html));
  if (letter.text && letter.html) bubble.append(folded("As its sender made it", formatted(letter.html)));
  if (letter.quote) bubble.append(folded("Quoted below", words(letter.quote)));
  bubble.append(...letter.files.map((file) => shownFile(`/sim/files/${file.sid}`, file)));
  bubble.append(make("span", clock(letter.at), "when"));
  item.append(bubble);
  if (!letter.mine) item.append(replyTo(letter));
  return item;
}

// The simulator has left nothing in it that could load or run.
function formatted(html) {
  const place = make("div", "", "html");
  place.dir = "auto";
  place.innerHTML = html;
  return place;
}

function folded(title, inside) {
  const more = make("details", "", "folded");
  more.append(make("summary", title), inside);
  return more;
}

function replyTo(letter) {
  const button = make("button", "Reply to this", "link");
  button.type = "button";
  button.onclick = () => { answering = letter.name; drawAbout(); $("mail-text").focus(); };
  return button;
}

function drawFiles() {
  $("mail-files").replaceChildren(...attached.map((file, index) => {
    const item = make("li", file === "picture" ? "picture.jpg" : file === "voice" ? "voice.ogg" : file.name);
    const button = make("button", "Remove", "link");
    button.type = "button";
    button.onclick = () => { attached.splice(index, 1); drawFiles(); };
    item.append(" ", button);
    return item;
  }));
}

attaching.mail = (file) => { attached.push(file); drawFiles(); };

$("mail-compose").onsubmit = async (event) => {
  event.preventDefault();
  const anew = !event.submitter || event.submitter.value === "anew";
  const path = `/sim/mail/${encodeURIComponent(chosen())}/write`;
  const subject = anew ? $("mail-subject").value : "";
  const draft = { text: $("mail-text").value, subject, anew, files: attached, html: $("mail-html").checked };
  const done = await send(path, anew ? draft : { ...draft, to: answering });
  if (!done) return;
  $("mail-text").value = $("mail-subject").value = "";
  answering = "";
  attached = [];
  drawFiles();
};
